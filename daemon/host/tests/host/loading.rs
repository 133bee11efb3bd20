//! From the start of a host to `Ready`, and its end.

use std::process::{Command, Stdio};

use recueil_dossier::PixelFormat;
use recueil_wire::devices::Modality;
use recueil_wire::host::{Confinement, FromHost, Step, ToHost};

use crate::support::{Hostd, Plugin, Result};

#[test]
fn a_plugin_is_confined_loaded_and_says_what_its_device_is() -> Result {
    let hostd = Hostd::start(&Plugin::compile("good")?)?;
    let FromHost::Ready {
        plugin_version,
        identity,
        capabilities,
        confinement,
    } = hostd.next()?
    else {
        return Err("not ready".into());
    };
    assert_eq!(plugin_version, "1.2.3");
    assert_eq!(identity.model, "Modele 1", "a line feed of the device's");
    assert_eq!(identity.serial, "SN0001");
    assert_eq!(capabilities.modalities, [Modality::Fingerprint]);
    assert_eq!(capabilities.formats, [PixelFormat::Gray8]);
    assert_eq!((capabilities.width_max, capabilities.height_max), (16, 8));
    assert_eq!(
        confinement,
        Confinement {
            landlock_abi: 2,
            seccomp: true
        }
    );
    Ok(())
}

#[test]
fn each_call_on_the_way_to_ready_is_told_before_it_begins() -> Result {
    let hostd = Hostd::start(&Plugin::compile("good")?)?;
    let mut steps = Vec::new();
    while let FromHost::Begins { step } = hostd.next_of_all()? {
        steps.push(step);
    }
    assert_eq!(steps, [Step::Create, Step::Open, Step::Info, Step::Caps]);
    Ok(())
}

#[test]
fn the_library_is_loaded_through_its_descriptor_wherever_it_lies() -> Result {
    let hostd = Hostd::start_with(&Plugin::compile("good")?, |load| {
        load.sandbox.read_dirs.truncate(3);
    })?;
    assert!(matches!(hostd.next()?, FromHost::Ready { .. }));
    Ok(())
}

fn refused(plugin: &str) -> Result<(String, i32, String)> {
    let hostd = Hostd::start(&Plugin::compile(plugin)?)?;
    let FromHost::Failed { stage, failure } = hostd.next_but_log()? else {
        return Err("not refused".into());
    };
    let (status, output) = hostd.ended()?;
    assert_eq!((status.code(), output.as_str()), (Some(1), ""));
    Ok((stage, failure.status, failure.text))
}

#[test]
fn a_plugin_that_is_not_the_manifests_is_refused() -> Result {
    let (stage, _status, text) = refused("wrong_id")?;
    assert_eq!(stage, "entry");
    assert!(text.contains("id"), "{text}");
    Ok(())
}

#[test]
fn a_library_without_the_entry_symbol_is_refused_with_its_name() -> Result {
    let (stage, _status, text) = refused("no_entry")?;
    assert_eq!(stage, "entry");
    assert!(text.contains("recueil_plugin_v1"), "{text}");
    Ok(())
}

#[test]
fn a_library_that_lacks_a_function_fails_at_load_and_not_in_a_capture() -> Result {
    let (stage, _status, text) = refused("missing_symbol")?;
    assert_eq!(stage, "load");
    assert!(text.contains("sdk_function_of_a_later_version"), "{text}");
    Ok(())
}

#[test]
fn a_failure_to_open_the_device_brings_the_vendors_words() -> Result {
    let (stage, status, text) = refused("open_fails")?;
    assert_eq!((stage.as_str(), status), ("open", -12));
    assert_eq!(text, "firmware 0.9 is too old");
    Ok(())
}

#[test]
fn without_landlock_no_plugin_is_loaded_unless_the_administrator_named_it() -> Result {
    let plugin = Plugin::compile("good")?;
    let refusing = Hostd::start_with(&plugin, |load| load.sandbox.landlock_abi_max = 0)?;
    let FromHost::Failed { stage, .. } = refusing.next()? else {
        return Err("loaded without a sandbox".into());
    };
    assert_eq!(stage, "sandbox");

    let allowed = Hostd::start_with(&plugin, |load| {
        load.sandbox.landlock_abi_max = 0;
        load.sandbox.allow_unsandboxed = true;
    })?;
    let FromHost::Ready { confinement, .. } = allowed.next()? else {
        return Err("not ready".into());
    };
    assert_eq!(confinement.landlock_abi, 0);
    assert!(confinement.seccomp, "what can be had is kept");
    Ok(())
}

#[test]
fn close_closes_the_device_then_the_plugin_then_ends() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    hostd.say(&ToHost::Close)?;
    let said = |message| match message {
        FromHost::Log { text, .. } => text,
        other => format!("{other:?}"),
    };
    assert_eq!(said(hostd.next()?), "closed");
    assert_eq!(said(hostd.next()?), "destroyed");
    assert_eq!(hostd.ended()?.0.code(), Some(0));
    Ok(())
}

#[test]
fn a_host_ends_when_hostd_is_gone_even_in_the_middle_of_a_hanging_capture() -> Result {
    let (mut hostd, analyser) = Hostd::ready(&Plugin::compile("hang")?)?;
    hostd.capture(1)?;
    analyser.frame()?;
    hostd.vanish();
    assert_eq!(hostd.ended()?.0.code(), Some(1));
    Ok(())
}

#[test]
fn a_host_ends_with_the_process_that_started_it() -> Result {
    let mut hostd = Hostd::start_below_a_shell(&Plugin::compile("good")?)?;
    assert!(matches!(hostd.next()?, FromHost::Ready { .. }));
    // The control socket stays open at this end, so nothing but the kernel tells the host.
    hostd.kill()?;
    let error = hostd.next().err().ok_or("it still speaks")?;
    assert!(
        matches!(error.downcast_ref(), Some(recueil_wire::Error::Closed)),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn a_host_ends_when_hostd_cannot_be_understood() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    hostd.say_garbage()?;
    assert_eq!(hostd.ended()?.0.code(), Some(1));
    Ok(())
}

#[test]
fn started_by_hand_it_says_who_starts_it() -> Result {
    let output = Command::new(env!("CARGO_BIN_EXE_recueil-device-host"))
        .stdin(Stdio::null())
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr)?;
    assert!(words.contains("control socket"), "{words}");
    Ok(())
}
