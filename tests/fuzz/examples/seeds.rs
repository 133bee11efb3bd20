//! Makes the corpora anew, in `corpus/` and `pki/`: by our writers, by the CERT simulator's, and by other people's
//! tools (openssl, python's zipfile and zlib). `cargo run -p recueil-fuzz --example seeds`; what it makes is kept in
//! the repository, since keys and signatures differ each time.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use recueil_dossier::{
    Bounds, Criterion, Draft, FingerPosition, FrameInfo, FrameKind, Guidance, Item, MediaType, Opening,
    PixelFormat, PreDemande, Procedure, ReceiptKind, sha256_hex,
};
use recueil_fuzz::pki::{self, STATION, now};
use recueil_fuzz::targets::cms::{ENCRYPTED, SIGNED, dossier, said};
use recueil_fuzz::{TARGETS, corpus};
use recueil_seal::{Clock, Recipient, Roots, SealContext, fuzzing as seal};
use recueil_wire::{analyser, courier, devices, frames, host};
use ring::rand::SystemRandom;
use serde::Serialize;
use zeroize::Zeroizing;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    if !pki::dir().exists() {
        recueil_cert::init(&pki::dir(), STATION, 36_500)?;
        fs::remove_dir_all(pki::dir().join("pre-demandes"))?;
    }
    for target in TARGETS {
        let dir = corpus().join(target.name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir)?;
    }
    wire()?;
    pictures()?;
    rules()?;
    bus()?;
    cert_lines()?;
    cms()?;
    parcel()?;
    files()
}

fn put(target: &str, name: &str, bytes: &[u8]) -> Result {
    Ok(fs::write(corpus().join(target).join(name), bytes)?)
}

fn json(target: &str, name: &str, value: &impl Serialize) -> Result {
    put(target, name, &serde_json::to_vec(value)?)
}

fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(input)?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{program} {arguments:?}: {}", output.status).into())
    }
}

fn position(code: u8) -> Option<FingerPosition> {
    FingerPosition::try_from(code).ok()
}

fn capabilities() -> devices::Capabilities {
    devices::Capabilities {
        modalities: vec![devices::Modality::Fingerprint],
        width_max: 1600,
        height_max: 1500,
        ppi_milli: 500_000,
        formats: vec![PixelFormat::Gray8],
        preview: true,
        capture_timeout_ms: 30_000,
    }
}

fn failure() -> host::PluginFailure {
    host::PluginFailure {
        status: -14,
        vendor_code: 7,
        text: "jam \u{1b}[31m".into(),
    }
}

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

fn wire() -> Result {
    let identity = devices::Identity {
        vendor: "Recueil".into(),
        model: "fp4".into(),
        serial: "SN0001".into(),
        firmware: "1".into(),
    };
    let confinement = host::Confinement {
        landlock_abi: 2,
        seccomp: true,
    };
    let params = devices::CaptureParams {
        modality: devices::Modality::Fingerprint,
        format: Some(PixelFormat::Gray8),
        ppi_milli: 500_000,
        deadline_ms: 60_000,
        preview_fps: 15,
        position: position(14),
        missing: position(7).into_iter().collect(),
        area_um: None,
    };
    for (index, message) in [
        host::FromHost::Ready {
            plugin_version: "0.1.0".into(),
            identity: identity.clone(),
            capabilities: capabilities(),
            confinement: confinement.clone(),
        },
        host::FromHost::Failed {
            stage: "open".into(),
            failure: failure(),
        },
        host::FromHost::Event {
            req: 1,
            event: 3,
            value: -4,
            position: position(13),
        },
        host::FromHost::Captured {
            req: 1,
            results: 1,
            previews: 2,
            failure: Some(failure()),
            broken_rule: Some("R10".into()),
        },
        host::FromHost::Log {
            level: 2,
            text: "ready".into(),
        },
        host::FromHost::BlobPut {
            key: "gain".into(),
            part: "00ff".into(),
            last: true,
        },
        host::FromHost::Misbehaved {
            rule: "a NULL pointer".into(),
        },
    ]
    .iter()
    .enumerate()
    {
        json("wire-host", &format!("from-{index}"), message)?;
    }
    let load = host::Load {
        plugin_id: "fr.recueil.simulator".into(),
        bus: host::Bus::Virtual,
        path: "/run/virtual/fp4.SN0001.sock".into(),
        serial: "SN0001".into(),
        usb_vid: 0,
        usb_pid: 0,
        config: BTreeMap::from([("speed".into(), "fast".into())]),
        blobs: vec![host::Blob {
            key: "gain".into(),
            len: 2,
        }],
        sandbox: host::Sandbox {
            read_dirs: vec!["/usr/lib".into()],
            landlock_abi_max: 2,
            allow_unsandboxed: false,
            memory_mib: 512,
            threads: 8,
        },
    };
    json("wire-host", "to-load", &host::ToHost::Load(Box::new(load)))?;
    let capture = host::ToHost::Capture {
        req: 1,
        params: params.clone(),
    };
    json("wire-host", "to-capture", &capture)?;
    json("wire-host", "to-cancel", &host::ToHost::Cancel { req: 1 })?;

    let start = devices::Call::Start {
        device: "virtual-fp4-SN0001".into(),
        req: 1,
        params,
    };
    json("wire-devices", "start", &devices::Request { id: 3, call: start })?;
    let failure = devices::Failure {
        code: devices::FailureCode::DeviceError,
        text: "the device is jammed: clear it".into(),
        plugin: Some(failure()),
    };
    let device = devices::Device {
        id: "virtual-fp4-SN0001".into(),
        state: devices::DeviceState::Faulted,
        plugin: "fr.recueil.simulator".into(),
        plugin_version: "0.1.0".into(),
        identity: Some(identity),
        capabilities: Some(capabilities()),
        confinement: Some(confinement),
        failure: Some(failure.clone()),
    };
    let plugin = devices::Plugin {
        id: "fr.recueil.simulator".into(),
        name: "Recueil simulator".into(),
        version: "0.1.0".into(),
        refused: Some("its file is writable by others".into()),
    };
    let list = devices::Answer::Devices {
        devices: vec![device.clone()],
        plugins: vec![plugin],
        limits: devices::HostLimits::Rlimits,
    };
    let reply = |answer| devices::FromHostd::Reply { id: 3, answer };
    json("wire-devices", "list", &reply(Ok(list)))?;
    json("wire-devices", "failed", &reply(Err(failure.clone())))?;
    let device = Box::new(device);
    json(
        "wire-devices",
        "device",
        &devices::FromHostd::Notice(devices::Notice::Device { device }),
    )?;
    let ended = devices::Notice::HostEnded {
        device: "virtual-fp4-SN0001".into(),
        failure,
    };
    json("wire-devices", "ended", &devices::FromHostd::Notice(ended))?;

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

/// The bytes of a story or a frame, as `Bytes` takes them off.
fn le(shorts: &[u16]) -> Vec<u8> {
    shorts.iter().flat_map(|short| short.to_le_bytes()).collect()
}

fn pictures() -> Result {
    // Task; expect try 1 of a right slap; a frame for it; finished; keep one; preview; unused; raw.
    let frame = |index: u8| {
        [
            &[6, index],
            le(&[39, 39]).as_slice(),
            &[0, 0, 9],
            // Ten white rows of forty: something is on the page.
            &le(&[400]),
            &[255; 400],
            &[1],
        ]
        .concat()
    };
    let story = |task: u8, position: u8| {
        [
            vec![task, 5, 1, 1, position, 1],
            frame(1),
            frame(0),
            vec![3, 1, 1, 4, 0, 1, 0, 0, 8, 2],
        ]
        .concat()
    };
    for (task, place) in [(0, 0), (1, 3), (2, 3), (3, 3)] {
        put("analyser-session", &format!("task-{task}"), &story(task, place))?;
    }
    let raw = [
        vec![0, 9],
        le(&[2]),
        b"{}".to_vec(),
        vec![0],
        le(&[14]),
        br#"{"type":"end"}"#.to_vec(),
    ]
    .concat();
    put("analyser-session", "raw", &raw)?;

    // Width, height, format, stride, ppi, no lies, no segments; honest; ground; shapes.
    let head = |width: u16, height: u16, ppi: u8, ground: u8| {
        [
            le(&[width - 1, height - 1]),
            vec![0],
            le(&[0]),
            vec![ppi, 0, 0, 0, 0, ground],
        ]
        .concat()
    };
    let shape = |x: u16, y: u16, half_width: u16, half_height: u16, turn: u8, level: u8, period: u8| {
        [le(&[x, y, half_width, half_height]), vec![turn, level, period]].concat()
    };
    // At 75 ppi a print is 103×133 pixels.
    for (name, turn) in [("straight", 0), ("turned", 7), ("tilted", 30)] {
        let print = [
            head(240, 260, 0, 252),
            vec![1],
            shape(120, 130, 51, 66, turn, 90, 0),
        ]
        .concat();
        put("face", name, &print)?;
    }
    let two = [
        head(320, 260, 0, 30),
        vec![2],
        shape(80, 130, 51, 66, 0, 200, 0),
        shape(240, 130, 51, 66, 2, 220, 0),
    ]
    .concat();
    put("face", "two", &two)?;
    put("face", "empty", &head(200, 200, 0, 250))?;
    let text = [
        head(300, 300, 0, 250),
        vec![2],
        shape(150, 80, 100, 4, 0, 10, 7),
        shape(150, 120, 90, 4, 0, 10, 5),
    ]
    .concat();
    for target in ["document", "barcode"] {
        put(target, "text", &[vec![80], text.clone()].concat())?;
        put(target, "blank", &[vec![80], head(100, 100, 1, 240)].concat())?;
    }
    let ink = [
        head(300, 200, 0, 245),
        vec![2],
        shape(150, 100, 60, 2, 10, 20, 0),
        shape(140, 100, 3, 30, 0, 40, 0),
    ]
    .concat();
    put("signature", "ink", &ink)?;
    put("signature", "blank", &head(100, 100, 0, 245))?;
    put("preview", "half", &[vec![2, 0, 0, 0, 0], text].concat())?;

    // Four boxes side by side on stripes: asked 13, nothing missing.
    let segment = |finger: u8, x: u16| [vec![0, finger], le(&[x, 20, 70, 150, 0]), vec![0, 80]].concat();
    let slap = [
        vec![0, 0],
        le(&[319, 199]),
        vec![0],
        le(&[0]),
        vec![0, 0, 0, 1, 4, 13],
        segment(2, 5),
        segment(3, 82),
        segment(4, 160),
        segment(5, 238),
        vec![0, 255, 1],
        shape(160, 100, 160, 100, 20, 40, 8),
    ]
    .concat();
    put("fingerprint", "slap", &slap)?;
    // Boxes of a slap are too small here to be fingertips; one finger has room.
    let finger = [
        vec![3, 0],
        le(&[319, 259]),
        vec![0],
        le(&[0]),
        vec![0, 0, 0, 1, 1, 0, 0, 2],
        le(&[80, 40, 150, 180, 0]),
        vec![0, 80, 0, 255, 1],
        shape(160, 130, 160, 130, 20, 40, 13),
    ]
    .concat();
    put("fingerprint", "finger", &finger)?;
    put(
        "fingerprint",
        "nothing",
        &[vec![0, 0], head(200, 200, 0, 255)].concat(),
    )?;

    for (name, text) in [
        ("number", "VALID12345"),
        ("address", "https://predemande.example/cni/VALID12345"),
        ("query", "https://x.example/?type=cni&numero=valid12345#top"),
        ("none", "javascript://x/VALID12345"),
        ("two", "https://x.example/VALID12345/VALID54321"),
    ] {
        put("qr-text", name, text.as_bytes())?;
        put("number", name, text.as_bytes())?;
    }

    let words = |numbers: &[u32]| {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    // One part with one segment; then the sizes as they should be.
    let segment = [2, 1, 2, 30, 40, 0, 80, 0];
    let meta = [&[1, 0, 1, 1], segment.as_slice(), &[2, 13, 0, 300, 1, 0, 0, 2]].concat();
    put("plugin-meta", "one", &words(&meta))?;
    put(
        "plugin-meta",
        "ring",
        &words(&[
            2, 1, 1, 0, 2, 13, 0, 300, 1, 0, 0, 1, 0, 2, 13, 0, 300, 1, 0, 0, 2,
        ]),
    )?;
    let abilities = words(&[1, 1600, 1500, 500_000, 2, 1, 30_000, 1, 10, 4, 0, 40]);
    put(
        "plugin-words",
        "reader",
        &[
            abilities,
            le(&[4]),
            b"text".to_vec(),
            le(&[4]),
            b"gain".to_vec(),
            words(&[2]),
            vec![0, 255],
        ]
        .concat(),
    )?;

    let png = tool(
        "python3",
        &[
            "-c",
            "import sys,zlib,struct\nc=lambda t,d:struct.pack('>I',len(d))+t+d+struct.pack('>I',zlib.crc32(t+d))\nsys.stdout.buffer.write(b'\\x89PNG\\r\\n\\x1a\\n'+c(b'IHDR',struct.pack('>IIBBBBB',4,3,8,2,0,0,0))+c(b'IDAT',zlib.compress(b''.join(b'\\0'+bytes(range(12)) for _ in range(3))))+c(b'IEND',b''))",
        ],
        b"",
    )?;
    put("images", "python.png", &png)?;
    put("images", "print.pgm", b"P5\n3 2\n255\n\x01\x02\x03\x04\x05\x06")?;
    let page = recueil_capture::document::Page {
        width: 8,
        height: 8,
        ppi: 300,
        picture: recueil_capture::Raster::Rgb(recueil_capture::Rgb::from_fn(8, 8, |x, y| {
            [x, y, 9].map(|level| u8::try_from(level * 9).unwrap_or(0))
        })),
        jpeg_quality: 80,
        criteria: Vec::new(),
    };
    put(
        "images",
        "ours.jpg",
        &recueil_capture::document::encode(&page)?.bytes,
    )?;
    put(
        "images",
        "images.toml",
        &fs::read(root().join("tests/fixtures/images/images.toml"))?,
    )
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn rules() -> Result {
    let config = fs::read_to_string(root().join("config/recueil.toml"))?;
    // Users of a package need not exist here.
    let config = config.replace("recueild = \"recueil\"", "recueild = 990");
    // Shortened: comments are most of the file.
    let lines: Vec<&str> = config
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let config = lines.join("\n");
    for target in ["config-hostd", "config-courier", "config-recueild"] {
        put(target, "shipped", config.as_bytes())?;
    }
    let courier = format!(
        "{config}\n[courier]\nurl = 'https://cert.example:8443'\ntls_key = '/k'\ntls_certificate = '/c'\ntls_roots = ['/r']\n"
    );
    put("config-courier", "url", b"https://[::1]:8443")?;
    put(
        "config-courier",
        "with-url",
        courier.replacen("[courier]\n", "", 1).as_bytes(),
    )?;
    put(
        "manifest",
        "simulator",
        &fs::read(root().join("plugins/simulator/plugin.toml"))?,
    )?;
    put(
        "manifest",
        "usb",
        b"manifest = 1\nid = 'com.acme.fp'\nname = 'Acme'\nversion = '1.0'\nabi = '1.0'\narch = 'x86_64-linux-gnu'\nlibrary = 'libfp.so'\nsha256 = '0000000000000000000000000000000000000000000000000000000000000000'\nmodalities = ['fingerprint']\n[files]\n'table.bin' = '0000000000000000000000000000000000000000000000000000000000000001'\n[[match]]\nbus = 'usb'\nvid = '05ba'\npid = '000a'\niface = 0\n[[match]]\nbus = 'serial'\nusb_vid = '0403'\nusb_pid = '6001'\nask = true\n[limits]\nmemory_mib = 64\nthreads = 2\n[config]\n'gain' = '5'\n",
    )?;
    for name in ["cni-adulte", "remise-cni"] {
        put(
            "procedure",
            name,
            &fs::read(root().join(format!("config/procedures/{name}.toml")))?,
        )?;
    }
    put(
        "profile",
        "cni",
        &fs::read(root().join("config/profiles/cni.toml"))?,
    )?;
    let id = dossier().to_string();
    for (index, name) in [
        id.as_str(),
        "fingerprint-02",
        "2026AB000042",
        "VALID12345",
        "in-instruction",
        "fp4.SN0001.sock",
        "agent.dupont@x",
    ]
    .into_iter()
    .enumerate()
    {
        put("names", &index.to_string(), name.as_bytes())?;
        put("bus-names", &index.to_string(), name.as_bytes())?;
    }
    for (index, line) in [
        r#"{"command":"next","device":"fp4","presentations":[{"hand":"other","without":["little"],"quality":"poor","lift":"early","wait_ms":5}]}"#,
        r#"{"command":"next","device":"flatbed","presentations":[{"glass":{"kind":"photo","count":"two","lid":"dark","turn_deg":7.5}},{"glass":{"kind":"page","code":"ABC"}}]}"#,
        r#"{"command":"away","device":"fp4","for_ms":100}"#,
        r#"{"command":"await","device":"fp4","until":"idle","timeout_ms":100}"#,
        r#"{"command":"default","device":"cam","presentation":{"fault":"hang","error":"jam"}}"#,
        "fp4:SN0001",
    ]
    .into_iter()
    .enumerate()
    {
        put("scenario", &index.to_string(), line.as_bytes())?;
    }
    for (index, message) in [
        r#"{"type":"capture","id":1,"format":"gray8","deadline_ms":1000,"preview_fps":10,"subject":{"kind":"fingers","position":13,"missing":[7]}}"#,
        r#"{"type":"capture","id":1,"format":null,"deadline_ms":1000,"preview_fps":0,"subject":{"kind":"glass","ppi":300,"area":{"x_um":0,"y_um":0,"width_um":1000,"height_um":1000}}}"#,
        r#"{"type":"picture","id":1,"picture":{"purpose":"result","format":"rgb24","width":10,"height":5,"ppi":500,"page":1,"position":13,"segments":[{"position":2,"x":-1,"y":0,"width":5,"height":5,"angle_milli_deg":5,"quality":80}],"attack":[3,false]}}"#,
        r#"{"type":"event","id":1,"event":{"kind":"progress","permille":500}}"#,
        r#"{"type":"done","id":1,"failure":{"code":"jam","vendor_code":-5}}"#,
        r#"{"type":"info","kind":"camera","vendor":"v","model":"cam","serial":"1","firmware":"1","width_max":10,"height_max":10,"ppi":0,"previews":true}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let len = u32::try_from(message.len())?.to_le_bytes();
        put("virtual-protocol", &index.to_string(), &[b"RCV1", len.as_slice(), message.as_bytes()].concat())?;
    }
    Ok(())
}

fn bus() -> Result {
    use recueil_bus::fuzzing::{write_finger, write_page, write_wanted};
    let deposit = write_wanted("deposit", "cni-adulte", &[("token", "guichet-3/17")], &[]);
    put("bus-arguments", "deposit", &deposit)?;
    let hand_over = write_wanted("hand-over", "remise-cni", &[("demande", "2026AB000042")], &[]);
    put("bus-arguments", "hand-over", &hand_over)?;
    let start = write_wanted(
        "photo",
        "virtual-flatbed-SN0003",
        &[("document", "acte")],
        &[("auto-retry", true)],
    );
    put("bus-arguments", "start", &start)?;
    put(
        "bus-arguments",
        "page",
        &write_page("sealed", &dossier().to_string(), 50),
    )?;
    put("bus-arguments", "finger", &write_finger(7, "bandaged"))
}

fn cert_lines() -> Result {
    let answer = |choice: u8, text: &str| [&[choice], text.as_bytes()].concat();
    let body = |status: &str, media_type: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let announced = r#"{"state":"receiving","upload":"/v1/uploads/0d1f","offset":100}"#;
    put(
        "cert-answers",
        "announced",
        &answer(0, &body("201 Created", "application/json", announced)),
    )?;
    let tus = "HTTP/1.1 200 OK\r\ntus-resumable: 1.0.0\r\nupload-offset: 1000\r\ncontent-length: 0\r\n\r\n";
    put("cert-answers", "offset", &answer(1, tus))?;
    put(
        "cert-answers",
        "part",
        &answer(
            2,
            &tus.replace("200 OK", "204 No Content").replace("1000", "1100"),
        ),
    )?;
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/pkcs7-mime\r\ntransfer-encoding: chunked\r\n\r\n2\r\n0\u{3}\r\n0\r\n\r\n";
    put("cert-answers", "r1", &answer(3, chunked))?;
    put(
        "cert-answers",
        "none-yet",
        &answer(4, "HTTP/1.1 204 No Content\r\n\r\n"),
    )?;
    put(
        "cert-answers",
        "pre-demande",
        &answer(5, &body("200 OK", "application/pkcs7-mime", "0\u{3}abc")),
    )?;
    let statuses = r#"{"statuses":[{"demande":"2026AB000042","status":"available"}]}"#;
    put(
        "cert-answers",
        "statuses",
        &answer(6, &body("200 OK", "application/json", statuses)),
    )?;
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 99999999999\r\ncontent-length: 0\r\n\r\n";
    put("cert-answers", "busy", &answer(0, busy))?;
    let problem = r#"{"error":"offset","text":"another offset"}"#;
    put(
        "cert-answers",
        "conflict",
        &answer(2, &body("409 Conflict", "application/json", problem)),
    )?;
    put(
        "cert-answers",
        "portal",
        &answer(0, &body("302 Found", "text/html", "<html>sign in</html>")),
    )?;
    let id = dossier().to_string();
    for (index, text) in [
        id.as_str(),
        "wait=30",
        r#"{"size":100,"sha256":"00","profile":"CERT-CMS-1"}"#,
        r#"{"demandes":["2026AB000042"]}"#,
        r#"{"do":"pre-demande","number":"VALID12345","procedure":"cni-adulte","fields":{"a":"b"}}"#,
        r#"{"do":"fault","kind":"cut-after","bytes":100}"#,
        r#"{"do":"ingest","mode":"hold"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        put("cert-requests", &index.to_string(), text.as_bytes())?;
    }
    Ok(())
}

fn openssl(arguments: &str, files: &[(&str, &Path)], input: &[u8]) -> Result<Vec<u8>> {
    let mut all: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    for (option, path) in files {
        all.extend([(*option).to_owned(), path.to_string_lossy().into_owned()]);
    }
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    tool("openssl", &all, input)
}

fn cms() -> Result {
    let keys = pki::pki();
    let (cert, station) = (pki::dir().join("cert"), pki::dir().join("station"));
    let sealed = keys.cert.seal(b"parcel")?;
    put("cms-envelope", "parcel", &sealed)?;
    let to_station = keys.cert.seal_to(STATION, ENCRYPTED)?;
    put("cms-envelope", "cert", &to_station)?;
    put("cms-opened", "cert", &to_station)?;
    let own = station.join("encryption.crt");
    let encrypt = format!(
        "cms -encrypt -binary -outform DER -aes-256-gcm -recip {} -keyopt ecdh_kdf_md:sha384",
        own.display()
    );
    let by_openssl = openssl(&encrypt, &[], ENCRYPTED)?;
    put("cms-envelope", "openssl", &by_openssl)?;
    put("cms-opened", "openssl", &by_openssl)?;
    let cbc = openssl(
        "cms -encrypt -binary -outform DER -aes-256-cbc",
        &[("-recip", &own)],
        ENCRYPTED,
    )?;
    put("cms-envelope", "enveloped-cbc", &cbc)?;

    let signed = seal::sign(SIGNED, &keys.sealing, now())?;
    put("cms-signature", "ours", &signed)?;
    let signer = [
        ("-signer", station.join("seal.crt")),
        ("-inkey", station.join("seal.key")),
    ];
    let signer = signer.each_ref().map(|(option, path)| (*option, path.as_path()));
    let sign = "cms -sign -cades -nosmimecap -binary -md sha256 -outform DER";
    let signed_by_openssl = openssl(sign, &signer, SIGNED)?;
    put("cms-signature", "openssl", &signed_by_openssl)?;
    put(
        "cms-signature",
        "openssl-attached",
        &openssl(&format!("{sign} -nodetach"), &signer, SIGNED)?,
    )?;
    put(
        "cms-signature",
        "openssl-plain",
        &openssl("cms -sign -binary -md sha256 -outform DER", &signer, SIGNED)?,
    )?;
    for (name, cms) in [("ours", &signed), ("openssl", &signed_by_openssl)] {
        put("cms-attributes", name, attributes(cms).ok_or("no attributes")?)?;
    }

    for name in [
        "encryption",
        "escrow",
        "receipt",
        "receipt-root",
        "station-root",
        "tls",
    ] {
        put("certificate", name, &pki::pem(&cert.join(format!("{name}.crt"))))?;
    }
    put("certificate", "seal", &keys.sealing_certificate)?;
    let other = tool(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
            "-nodes",
            "-keyout",
            "/dev/null",
            "-outform",
            "DER",
            "-days",
            "30000",
            "-subj",
            "/C=FR/O=Exemple é/CN=MAIRIE-1",
            "-utf8",
        ],
        b"",
    )?;
    put("certificate", "openssl", &other)?;

    let receipt_signer = [
        ("-signer", cert.join("receipt.crt")),
        ("-inkey", cert.join("receipt.key")),
    ];
    let receipt_signer = receipt_signer
        .each_ref()
        .map(|(option, path)| (*option, path.as_path()));
    for (name, kind) in [
        ("r1", ReceiptKind::Stored),
        ("r2", ReceiptKind::Ingested),
        ("reject", ReceiptKind::Refused),
    ] {
        let content = serde_json::to_vec(&said(kind))?;
        put("receipt-content", name, &content)?;
        put("receipt", name, &keys.cert.sign(&content, now())?)?;
        let by_openssl = openssl(&format!("{sign} -nodetach"), &receipt_signer, &content)?;
        put("receipt", &format!("{name}-openssl"), &by_openssl)?;
    }
    Ok(())
}

/// The content of the one `[0]` that holds the attribute content-type: signedAttrs.
fn attributes(cms: &[u8]) -> Option<&[u8]> {
    let content_type = b"\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
    let start = cms
        .windows(content_type.len())
        .position(|window| window == content_type)?;
    // Lengths of two bytes at most: the element's own stands before its content.
    let (one, two) = (
        cms.get(start.checked_sub(3)?..start)?,
        cms.get(start.checked_sub(4)?..start)?,
    );
    let len = match (one, two) {
        (_, [0xa0, 0x82, high, low]) => usize::from(*high) << 8 | usize::from(*low),
        ([0xa0, 0x81, len], _) => usize::from(*len),
        _ => return None,
    };
    cms.get(start..start + len)
}

fn parcel() -> Result {
    let keys = pki::pki();
    let trust = pki::dir().join("station/trust");
    let roots = Roots::from_der(&[pki::pem(&trust.join("cert-root.crt"))])?;
    let recipient = |name: &str| Recipient::from_certificate_der(&pki::pem(&trust.join(name)), &roots, now());
    let recipients = [recipient("cert-encryption.crt")?, recipient("escrow.crt")?];
    // One step that a photo completes.
    let text = "procedure = 1\nid = 'photo'\ntitle = 'Photo'\nkind = 'deposit'\nprofile = 'cni'\n[sources]\nnone = 'a test'\n[[step]]\nid = 'photo'\ntype = 'photo'\nrequired = true\nscan_ppi = 600\narea_mm = [130, 150]\n";
    put("procedure", "photo", text.as_bytes())?;
    let procedure = Procedure::parse(text)?;
    let opening = Opening {
        id: dossier(),
        owner_uid: 1000,
        agent: "agent.dupont".parse()?,
        at: now(),
        expires_at: now(),
        demande: None,
    };
    let mut draft = Draft::open(&procedure, opening);
    let pixels = b"\x89PNG\r\n\x1a\n0".to_vec();
    let record: recueil_dossier::ItemRecord = serde_json::from_value(serde_json::json!({
        "name": "photo", "step": "photo", "content": {"type": "face"}, "media_type": "image/png",
        "len_bytes": pixels.len(), "sha256": sha256_hex(&pixels),
        "criteria": [{"code": "print-width-mm", "value": 35.1, "threshold": 34.0, "pass": true}],
        "provenance": {"source": {"vendor": "v", "model": "m", "serial": "s", "plugin": "p", "plugin_version": "1"},
            "agent": "agent.dupont", "captured_at": now(), "profile_sha256": sha256_hex(b""), "analyser": "1"},
    }))?;
    draft.items.insert(record.name.clone(), record.clone());
    json("draft-json", "photo", &draft)?;
    let item = Item {
        record,
        payload: Zeroizing::new(pixels),
    };
    let dossier = draft
        .finish(&procedure, vec![item])
        .map_err(|_unfinished| "unfinished")?;
    let station = STATION.parse()?;
    let context = SealContext {
        station: &station,
        sequence: 1,
        now: now(),
        clock: Clock::Synchronised,
        application: "seeds 1",
        key: &keys.sealing,
        recipients: &recipients,
    };
    let parcel = recueil_seal::seal(dossier, &context, &SystemRandom::new())?;
    keys.cert.judge(
        &parcel.bytes,
        &recueil_fuzz::targets::cms::dossier().to_string(),
        STATION,
        now(),
    )?;
    let zip = keys.cert.open(&parcel.bytes)?;
    put("zip", "ours", &zip)?;
    put("container", "ours", &zip)?;
    for (name, data) in seal::zip(&zip)? {
        match name {
            "dossier.json" => {
                put("dossier-json", "ours", data)?;
                // In the order of another writer, with blanks.
                let sorted = tool(
                    "python3",
                    &[
                        "-c",
                        "import json,sys;json.dump(json.load(sys.stdin),sys.stdout,indent=1,sort_keys=True)",
                    ],
                    data,
                )?;
                put("dossier-json", "python", &sorted)?;
            }
            "META-INF/ASiCManifest001.xml" => put("asic-manifest", "ours", data)?,
            _ => {}
        }
    }
    let manifest = "<a:ASiCManifest xmlns:a='http://uri.etsi.org/02918/v1.2.1#' xmlns:d='http://www.w3.org/2000/09/xmldsig#'><a:SigReference URI='META-INF/signature001.p7s'/><a:DataObjectReference URI='dossier.json'><d:DigestMethod Algorithm='http://www.w3.org/2001/04/xmlenc#sha256'/><d:DigestValue>RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=</d:DigestValue></a:DataObjectReference></a:ASiCManifest>";
    put("asic-manifest", "covers", manifest.as_bytes())?;
    let python = "import zipfile,sys,io\nb=io.BytesIO()\nz=zipfile.ZipFile(b,'w')\nfor n in('mimetype','a/b'):\n i=zipfile.ZipInfo(n);i.create_system=0;i.external_attr=0;z.writestr(i,n)\nz.close()\nsys.stdout.buffer.write(b.getvalue())";
    put("zip", "python", &tool("python3", &["-c", python], b"")?)?;
    let deflated = python.replace("b,'w'", "b,'w',zipfile.ZIP_DEFLATED");
    put(
        "zip",
        "python-deflated",
        &tool("python3", &["-c", &deflated], b"")?,
    )
}

fn files() -> Result {
    let fetched: PreDemande = serde_json::from_slice(ENCRYPTED)?;
    json("pre-demande", "empty", &fetched)?;
    let fields = [
        ("nom-naissance", "SPECIMEN"),
        ("sexe", "F"),
        ("taille", "170"),
        ("date-naissance", "1990-01-01"),
        ("inconnu", "x"),
    ];
    let full = PreDemande {
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..fetched
    };
    json("pre-demande", "full", &full)?;
    json(
        "blobs-file",
        "two",
        &BTreeMap::from([("gain", "00ff"), ("offset", "")]),
    )?;
    let cni = Procedure::parse(&fs::read_to_string(
        root().join("config/procedures/cni-adulte.toml"),
    )?)?;
    let opening = Opening {
        id: dossier(),
        owner_uid: 1000,
        agent: "agent.dupont".parse()?,
        at: now(),
        expires_at: now(),
        demande: "2026AB000042".parse().ok(),
    };
    let mut draft = Draft::open(&cni, opening);
    draft.take_pre_demande(&cni, full);
    draft.surplus.extend(position(4));
    draft.selection = Some(serde_json::from_str(
        r#"{"choices":[{"position":2,"quality":80,"reason":{"reason":"first-in-order"}},{"position":8,"quality":70,"reason":{"reason":"instead","passed_over":[{"position":7,"why":"bandaged"}]}}]}"#,
    )?);
    json("draft-json", "cni", &draft)?;
    // One change each: a bit of the index, of a row, of an item; a file cut, a file taken away.
    let damage = |file: u8, place: u32, kind: u8, part: &[u8]| {
        [
            vec![0, file],
            place.to_le_bytes().to_vec(),
            vec![kind],
            le(&[u16::try_from(part.len()).unwrap_or(0)]),
            part.to_vec(),
        ]
        .concat()
    };
    put("store", "header", &damage(5, 20, 3, b"\0\xff"))?;
    put("store", "page", &damage(5, 5000, 3, b"draft\0draft"))?;
    put("store", "item", &damage(1, 100, 3, b"x"))?;
    put("store", "cut", &damage(5, 8192, 0, b""))?;
    put("store", "gone", &damage(3, 0, 2, b""))
}
