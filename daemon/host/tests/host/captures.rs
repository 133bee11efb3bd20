//! Captures: pictures, guidance, cancelling, and what the plugin may say.

use std::io::Write as _;

use recueil_dossier::{FingerPosition, FrameKind};
use recueil_wire::host::{FromHost, ToHost};

use crate::support::{FRAME_BYTES, Hostd, Plugin, Result};

#[test]
fn pictures_arrive_in_the_analysers_memory_with_what_the_device_said_of_them() -> Result {
    let hostd = Hostd::start(&Plugin::compile("good")?)?;
    hostd.next()?;
    let analyser = hostd.attach_frames()?;
    let preview = analyser.lend(0, FrameKind::Preview, FRAME_BYTES)?;
    let result = analyser.lend(5, FrameKind::Result, FRAME_BYTES + 1000)?;
    hostd.capture(1)?;

    let (index, info) = analyser.frame()?;
    assert_eq!((index, info.kind), (0, FrameKind::Preview));
    let pixels = recueil_wire::read_memory(&preview, FRAME_BYTES, FRAME_BYTES)?;
    assert!(pixels.iter().all(|pixel| *pixel == 10));

    (&hostd.device).write_all(b"h")?;
    let (index, info) = analyser.frame()?;
    assert_eq!((index, info.kind), (5, FrameKind::Result));
    assert_eq!(
        (info.width, info.height, info.stride, info.used),
        (16, 8, 16, FRAME_BYTES)
    );
    assert_eq!((info.ppi_x_milli, info.ppi_y_milli), (500_000, 500_000));
    let fingerprint = info.fingerprint.ok_or("no fingerprint part")?;
    assert_eq!(fingerprint.position, Some(FingerPosition::LEFT_SLAP));
    assert_eq!(
        (fingerprint.pad_score, fingerprint.pad_attack),
        (Some(12), Some(false))
    );
    let [index_finger, middle] = fingerprint.segments.as_slice() else {
        return Err("not two segments".into());
    };
    assert_eq!(index_finger.position, Some(FingerPosition::LEFT_INDEX));
    assert_eq!(
        (index_finger.angle_milli_deg, index_finger.quality),
        (-1500, Some(80))
    );
    assert_eq!(middle.quality, None);
    let pixels = recueil_wire::read_memory(&result, FRAME_BYTES, FRAME_BYTES)?;
    assert!(pixels.iter().zip(0_u8..).all(|(pixel, count)| *pixel == count));

    let captured = hostd.captured()?;
    assert_eq!((captured.req, captured.results, captured.status()), (1, 1, 0));
    assert_eq!(
        captured.previews, 1,
        "the others found no free memory and were left out"
    );
    assert_eq!(captured.events, [(2, 14)], "put the left hand there");
    Ok(())
}

#[test]
fn configuration_and_stored_values_are_served() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    hostd.capture(1)?;
    (&hostd.device).write_all(b"h")?;
    let captured = hostd.captured()?;
    assert!(
        captured.log.contains(&"config 7 bonjour".to_owned()),
        "{captured:?}"
    );
    assert!(
        captured.log.contains(&"config short 7 missing -2".to_owned()),
        "{captured:?}"
    );
    assert!(captured.log.contains(&"blob 3 0a0b".to_owned()), "{captured:?}");
    Ok(())
}

#[test]
fn what_is_measured_before_any_capture_goes_to_hostd_in_parts() -> Result {
    let hostd = Hostd::start(&Plugin::compile("calibrates")?)?;
    let mut parts = Vec::new();
    loop {
        match hostd.next()? {
            FromHost::BlobPut { key, part, last } => parts.push((key, part.len() / 2, last)),
            FromHost::Ready { .. } => break,
            other => return Err(format!("{other:?}").into()),
        }
    }
    let table = |bytes, last| ("table".to_owned(), bytes, last);
    let all = [
        ("flat".to_owned(), 2, true),
        table(24 << 10, false),
        table(24 << 10, false),
        table(60_000 - (48 << 10), true),
    ];
    assert_eq!(parts, all);
    Ok(())
}

#[test]
fn a_cancelled_capture_returns_and_the_next_one_runs() -> Result {
    let (hostd, analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    hostd.capture(1)?;
    analyser.frame()?;
    hostd.say(&ToHost::Cancel { req: 1 })?;
    let captured = hostd.captured()?;
    assert_eq!((captured.req, captured.results, captured.status()), (1, 0, -6));

    // Too late, or never there: nobody's mistake.
    hostd.say(&ToHost::Cancel { req: 1 })?;
    hostd.say(&ToHost::Cancel { req: 9 })?;
    hostd.capture(2)?;
    (&hostd.device).write_all(b"h")?;
    let captured = hostd.captured()?;
    assert_eq!((captured.req, captured.results, captured.status()), (2, 1, 0));
    Ok(())
}

#[test]
fn a_capture_can_be_cancelled_before_its_turn_came() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    hostd.capture(1)?;
    hostd.capture(2)?;
    hostd.say(&ToHost::Cancel { req: 2 })?;
    hostd.say(&ToHost::Cancel { req: 1 })?;
    let ended = [hostd.captured()?, hostd.captured()?].map(|captured| (captured.req, captured.status()));
    assert_eq!(ended, [(1, -6), (2, -6)]);
    Ok(())
}

#[test]
fn an_sdk_that_cannot_poll_is_cancelled_by_its_own_function() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("sdk_cancel")?)?;
    hostd.capture(3)?;
    let FromHost::Event { .. } = hostd.next_but_log()? else {
        return Err("no event".into());
    };
    hostd.say(&ToHost::Cancel { req: 3 })?;
    assert_eq!(hostd.captured()?.status(), -6);
    Ok(())
}

#[test]
fn the_vendors_code_and_words_of_a_failure_are_told() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    hostd.capture_of(1, FingerPosition::RIGHT_INDEX)?;
    let failure = hostd.captured()?.failure.ok_or("succeeded")?;
    assert_eq!((failure.status, failure.vendor_code), (-3, 42));
    assert_eq!(failure.text, "not asked for the left hand");
    Ok(())
}

#[test]
fn a_success_without_a_result_is_none() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("empty_handed")?)?;
    hostd.capture(1)?;
    let captured = hostd.captured()?;
    assert_eq!((captured.results, captured.status()), (0, -1));
    assert_eq!(captured.broken_rules.len(), 1);
    Ok(())
}

#[test]
fn a_plugin_that_breaks_rules_is_told_so_and_goes_on() -> Result {
    let (hostd, analyser) = Hostd::ready(&Plugin::compile("rude")?)?;
    hostd.capture(1)?;
    // The refused submissions give the memory back; it is lent again for the next try.
    assert_eq!(analyser.unused()?, 2);
    analyser.release(2)?;
    assert_eq!(analyser.unused()?, 2);
    analyser.release(2)?;
    let (index, _info) = analyser.frame()?;
    assert_eq!(index, 2);
    let captured = hostd.captured()?;

    for broken in [
        "null frame",
        "wrong request",
        "wrong kind",
        "small struct",
        "unknown frame",
        "small meta",
        "after a refusal",
        "too much used",
        "submitted twice",
    ] {
        assert_eq!(captured.reported(broken), Some("-3"), "{broken}: {captured:?}");
    }
    assert_eq!(captured.reported("second result"), Some("-4"));
    assert_eq!(captured.reported("result"), Some("0"));
    assert_eq!(captured.reported("blob after frame"), Some("-10"));
    assert_eq!(
        captured.broken_rules.len(),
        11,
        "and a line that was NULL: {captured:?}"
    );
    for rule in &captured.broken_rules {
        let number = rule.strip_prefix('R').and_then(|rule| rule.split_once(':'));
        let number: Option<u8> = number.and_then(|(number, _)| number.parse().ok());
        assert!(number.is_some_and(|number| (1..=11).contains(&number)), "{rule}");
    }
    assert_eq!(captured.first_broken, captured.broken_rules.first().cloned());
    assert!(captured.stored.is_empty());
    assert_eq!(
        (captured.results, captured.previews, captured.status()),
        (1, 1, 0)
    );

    assert_eq!(analyser.frame()?.0, 0);
    assert_eq!(analyser.unused()?, 1, "what it kept was taken from it");
    let (by_plugin, by_host): (Vec<_>, Vec<_>) = captured
        .log
        .iter()
        .partition(|line| !line.ends_with("were left out"));
    assert_eq!(by_plugin.len(), 20, "{captured:?}");
    assert_eq!(by_host, ["32 lines of the plugin's log were left out"]);

    hostd.say(&ToHost::Close)?;
    assert!(
        matches!(hostd.next(), Err(_closed)),
        "after a capture it has no lines either"
    );
    let (status, output) = hostd.ended()?;
    assert_eq!(
        (status.code(), output.as_str()),
        (Some(0), ""),
        "nothing it printed went anywhere"
    );
    Ok(())
}

#[test]
fn a_plugin_in_safe_rust_gives_its_pictures() -> Result {
    let (hostd, analyser) = Hostd::ready(&Plugin::in_rust()?)?;
    hostd.capture(1)?;
    let (index, info) = analyser.frame()?;
    assert_eq!((index, info.width, info.height), (2, 16, 8));
    let captured = hostd.captured()?;
    assert_eq!((captured.results, captured.status()), (1, 0), "{captured:?}");
    assert_eq!(captured.events, [(2, 14)]);
    hostd.say(&ToHost::Close)?;
    assert_eq!(hostd.ended()?.0.code(), Some(0));
    Ok(())
}

#[test]
fn a_panic_in_a_plugin_ends_its_capture_and_not_the_process() -> Result {
    let (hostd, analyser) = Hostd::ready(&Plugin::in_rust()?)?;
    hostd.capture_of(1, FingerPosition::RIGHT_INDEX)?;
    assert_eq!(hostd.captured()?.status(), -19);
    hostd.capture(2)?;
    assert_eq!(analyser.frame()?.0, 2);
    assert_eq!(hostd.captured()?.status(), 0);
    Ok(())
}
