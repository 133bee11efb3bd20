//! What went wrong with a device, in the words of `recueild`.

use recueil_wire::devices::{Failure, FailureCode};
use recueil_wire::host::PluginFailure;

/// Most characters of a text that came from a host.
const TEXT_CHARS_MAX: usize = 200;
const STAGE_CHARS_MAX: usize = 16;

pub(crate) fn failure(code: FailureCode, text: impl Into<String>) -> Failure {
    Failure {
        code,
        text: text.into(),
        plugin: None,
    }
}

/// A capture or a call that the plugin itself says has failed. Numbers are `RCL_E_*` of
/// `sdk/include/recueil_plugin.h`; what is unknown counts as `RCL_E_FAILED`.
pub(crate) fn from_plugin(plugin: &PluginFailure) -> Failure {
    let (code, text) = match plugin.status {
        -2 => (FailureCode::Unsupported, "the device cannot do what was asked"),
        -3 => (
            FailureCode::PluginMisbehaved,
            "the plugin says that the contract was broken",
        ),
        -5 => (FailureCode::Timeout, "nothing was presented in time"),
        -6 => (FailureCode::Cancelled, "the capture was cancelled"),
        -8 => (FailureCode::DeviceGone, "the device was unplugged"),
        -19 => (FailureCode::PluginMisbehaved, "the plugin failed inside itself"),
        -12 => (
            FailureCode::DeviceError,
            "the device's firmware cannot be used: update it",
        ),
        -13 => (FailureCode::DeviceError, "the device must be calibrated"),
        -14 => (FailureCode::DeviceError, "the device is jammed: clear it"),
        -15 => (
            FailureCode::DeviceError,
            "there is nothing in the device: insert or lay down the page",
        ),
        -16 => (FailureCode::DeviceError, "the device's cover is open: close it"),
        -17 => (
            FailureCode::DeviceError,
            "the device says that it was tampered with",
        ),
        -18 => (
            FailureCode::DeviceError,
            "the plugin has no licence for this device",
        ),
        _ => (FailureCode::DeviceError, "the device failed"),
    };
    Failure {
        code,
        text: text.to_owned(),
        plugin: Some(tamed(plugin)),
    }
}

/// A capture that failed. A rule that was broken in it is the better reason, but for what happens to honest
/// plugins too.
pub(crate) fn from_capture(plugin: &PluginFailure, broken_rule: Option<&str>) -> Failure {
    let mut failure = from_plugin(plugin);
    if let Some(rule) = broken_rule
        && matches!(
            failure.code,
            FailureCode::DeviceError | FailureCode::PluginMisbehaved
        )
    {
        failure.code = FailureCode::PluginMisbehaved;
        failure.text = format!(
            "the plugin broke its contract: {}",
            printable(rule, TEXT_CHARS_MAX)
        );
    }
    failure
}

/// A host that could not get ready, by its own account.
pub(crate) fn from_stage(stage: &str, plugin: &PluginFailure) -> Failure {
    let named = |code, text: &str| Failure {
        code,
        text: text.to_owned(),
        plugin: None,
    };
    let mut failure = match stage {
        "sandbox" => named(
            FailureCode::NoSandbox,
            "the sandbox cannot be had on this machine; name the plugin in hostd.allow_unsandboxed to run it without",
        ),
        "load" | "entry" => named(
            FailureCode::PluginRefused,
            "the plugin cannot be loaded; install its package anew, or ask its vendor",
        ),
        "threads" => named(
            FailureCode::PluginMisbehaved,
            "the plugin runs more threads than its manifest allows",
        ),
        call => {
            let mut failure = from_plugin(plugin);
            failure.text = format!("{}, in {}()", failure.text, printable(call, STAGE_CHARS_MAX));
            return failure;
        }
    };
    failure.plugin = Some(tamed(plugin));
    failure
}

fn tamed(plugin: &PluginFailure) -> PluginFailure {
    PluginFailure {
        status: plugin.status,
        vendor_code: plugin.vendor_code,
        text: printable(&plugin.text, TEXT_CHARS_MAX),
    }
}

/// What a stranger said, fit for a log and a message: no control characters, of limited length.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    text.chars()
        .take(chars_max)
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: i32) -> PluginFailure {
        PluginFailure {
            status,
            vendor_code: 7,
            text: "\u{1b}[31mred".into(),
        }
    }

    #[test]
    fn a_plugins_status_becomes_a_name_and_its_words_are_tamed() {
        let failure = from_plugin(&status(-5));
        assert_eq!(failure.code, FailureCode::Timeout);
        let words = failure.plugin.unwrap();
        assert_eq!((words.vendor_code, words.text.as_str()), (7, "\u{fffd}[31mred"));
        assert_eq!(from_plugin(&status(-9_999)).code, FailureCode::DeviceError);
    }

    #[test]
    fn a_broken_rule_is_the_reason_unless_an_honest_plugin_fails_so_too() {
        let code = |number| from_capture(&status(number), Some("R4: a lie")).code;
        assert_eq!(code(-1), FailureCode::PluginMisbehaved);
        assert_eq!(code(-3), FailureCode::PluginMisbehaved);
        assert_eq!(code(-5), FailureCode::Timeout);
        assert_eq!(code(-6), FailureCode::Cancelled);
        assert!(
            from_capture(&status(-1), Some("R4: a lie"))
                .text
                .contains("R4: a lie")
        );
        assert_eq!(from_capture(&status(-1), None).code, FailureCode::DeviceError);
    }

    #[test]
    fn a_missing_sandbox_is_told_apart_from_a_broken_device() {
        assert_eq!(from_stage("sandbox", &status(-1)).code, FailureCode::NoSandbox);
        assert_eq!(from_stage("entry", &status(-1)).code, FailureCode::PluginRefused);
        assert_eq!(from_stage("open", &status(-9)).code, FailureCode::DeviceError);
    }
}
