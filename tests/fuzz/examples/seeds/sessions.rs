//! Messages of a capture's session and of the courier.

use std::collections::BTreeSet;

use recueil_dossier::{
    Bounds, Criterion, FingerPosition, FrameInfo, FrameKind, Guidance, MediaType, PixelFormat, ReceiptKind,
    sha256_hex,
};
use recueil_fuzz::targets::cms::dossier;
use recueil_wire::{analyser, courier, frames};

use crate::wire::capabilities;
use crate::{Result, json, position, put};

fn info() -> FrameInfo {
    FrameInfo {
        kind: FrameKind::Result,
        format: PixelFormat::Gray8,
        width: 16,
        height: 8,
        stride: 16,
        used: 128,
        ppi_x_milli: 500_000,
        ppi_y_milli: 500_000,
        sequence: 1,
        page: 0,
        time_ns: 5,
        fingerprint: Some(recueil_dossier::FingerprintMeta {
            position: position(13),
            segments: vec![recueil_dossier::FingerSegment {
                position: position(2),
                bounds: Bounds {
                    x: -1,
                    y: 2,
                    width: 5,
                    height: 6,
                },
                angle_milli_deg: -1500,
                quality: Some(80),
            }],
            pad_score: Some(3),
            pad_attack: Some(false),
        }),
    }
}

pub(crate) fn write() -> Result {
    let begin = analyser::ToAnalyser::Begin {
        task: analyser::Task::Pages,
        capabilities: capabilities(),
        profile_len: 100,
        profile_sha256: sha256_hex(b""),
        result_capacity: 1 << 20,
    };
    json("wire-analyser", "begin", &begin)?;
    let expect = analyser::ToAnalyser::Expect {
        req: 1,
        position: position(13),
        missing: position(2).into_iter().collect::<BTreeSet<_>>(),
    };
    json("wire-analyser", "expect", &expect)?;
    let criteria = vec![Criterion {
        code: "device-quality".into(),
        value: 80.5,
        threshold: Some(40.0),
        pass: true,
    }];
    let kept = analyser::FromAnalyser::Kept {
        pick: analyser::Pick {
            req: 1,
            position: position(2),
            result: 0,
        },
        media_type: MediaType::Png,
        len: 100,
        sha256: sha256_hex(b""),
        ppi: 500,
        criteria: criteria.clone(),
    };
    json("wire-analyser", "kept", &kept)?;
    let fingers = vec![analyser::Finger {
        position: FingerPosition::try_from(2)?,
        bounds: info()
            .fingerprint
            .map(|meta| meta.segments[0].bounds)
            .ok_or("a segment")?,
        angle_milli_deg: 3,
        quality: 70,
    }];
    let pages = vec![analyser::Page {
        width: 10,
        height: 20,
        pre_demande: "VALID12345".parse().ok(),
    }];
    for (name, assessment) in [
        ("fingers", analyser::Assessment::Fingers { fingers }),
        ("pages", analyser::Assessment::Pages { pages }),
        (
            "refused",
            analyser::Assessment::Refused {
                guidance: vec![Guidance::WrongHand],
                criteria,
            },
        ),
    ] {
        json(
            "wire-analyser",
            name,
            &analyser::FromAnalyser::Assessed { req: 1, assessment },
        )?;
    }
    let header = analyser::PreviewHeader {
        width: 800,
        height: 750,
        format: 1,
        len: 600_000,
        sequence: 3,
    };
    put("wire-analyser", "preview", &header.encode())?;

    let frame = frames::FromHost::Frame {
        req: 1,
        index: 0,
        info: info(),
    };
    json("wire-frames", "frame", &frame)?;
    json("wire-frames", "unused", &frames::FromHost::Unused { index: 1 })?;
    let buffer = frames::ToHost::Buffer {
        index: 0,
        kind: FrameKind::Preview,
        capacity: 4096,
    };
    json("wire-frames", "buffer", &buffer)?;

    let call = courier::Call::Statuses {
        demandes: vec!["2026AB000042".parse()?],
    };
    json("wire-courier", "statuses", &courier::Request { id: 1, call })?;
    let progress = courier::Progress {
        dossier: dossier(),
        sent: 5,
        total: 10,
        stage: courier::Stage::Sending,
        failures: 1,
        trouble: None,
    };
    let line = courier::Answer::Line {
        reachable: Some(false),
        trouble: Some("CERT is busy".into()),
        parcels: vec![progress.clone()],
    };
    let reply = |answer| courier::FromCourier::Reply { id: 1, answer };
    json("wire-courier", "line", &reply(Ok(line)))?;
    json(
        "wire-courier",
        "progress",
        &courier::FromCourier::Progress(progress),
    )?;
    let receipt = courier::FromCourier::Receipt {
        dossier: dossier(),
        kind: ReceiptKind::Ingested,
    };
    json("wire-courier", "receipt", &receipt)
}
