//! Plugins that lie, babble, hang and end, under the real hostd and the real host. Whatever one does: its fault
//! is named in the log with the rule and the plugin, its capture ends with a named error, a capture beside it
//! works, and no process, descriptor or cgroup is left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is the failure of the test"
)]

mod rig;

use recueil_wire::devices::{DeviceState, FailureCode};

use crate::rig::{Ended, Rig};

/// Runs one capture with a faulty plugin, while the witness captures, and leaves.
async fn run(fault: &str) -> Ended {
    let before = rig::descriptors();
    let mut rig = Rig::start(fault).await;
    let ended = rig.capture_beside_a_witness().await;
    rig.stop().await;
    assert_eq!(rig::children(), Vec::<u32>::new(), "{fault}: processes are left");
    assert_eq!(rig::descriptors(), before, "{fault}: descriptors are left");
    ended
}

/// The capture fails by `code`, its error or the log says `words`.
async fn check(fault: &str, code: FailureCode, words: &str) {
    let ended = run(fault).await;
    let failure = ended.failure.unwrap_or_else(|| panic!("{fault}: succeeded"));
    assert_eq!(failure.code, code, "{fault}: {failure:?}");
    assert!(
        failure.text.contains(words) || ended.journal.iter().any(|line| line.contains(words)),
        "{fault}: nobody says {words:?}: {failure:?} {:#?}",
        ended.journal
    );
}

/// A broken rule is told in the error itself, and in the log with the plugin's name.
async fn check_rule(fault: &str, words: &str) {
    let ended = run(fault).await;
    let failure = ended.failure.as_ref();
    let failure = failure.unwrap_or_else(|| panic!("{fault}: succeeded"));
    assert_eq!(
        failure.code,
        FailureCode::PluginMisbehaved,
        "{fault}: {failure:?}"
    );
    assert!(failure.text.contains(words), "{fault}: {failure:?}");
    assert!(
        ended.says(words) && words.starts_with('R'),
        "{fault}: {:#?}",
        ended.journal
    );
}

/// The capture succeeds all the same; `words` are in the log, if there is anything to say.
async fn check_ridden_out(fault: &str, words: Option<&str>) {
    let ended = run(fault).await;
    assert_eq!(ended.failure, None, "{fault}: {:#?}", ended.journal);
    if let Some(words) = words {
        assert!(ended.says(words), "{fault}: {:#?}", ended.journal);
    }
}

#[tokio::test]
async fn a_frame_that_lies_about_its_size_is_refused_by_name() {
    for (fault, words) in [
        ("width", "R4: a frame of no size"),
        (
            "height",
            "R4: a frame of no size, or of more than 32768 pixels a side",
        ),
        ("stride", "R4: a stride shorter than a row"),
        ("used", "R4: more or fewer bytes than the frame's memory holds"),
        ("grown", "R4: more or fewer bytes than the frame's memory holds"),
        ("handle", "R4: a frame that the plugin does not hold"),
        ("frame-size", "R1: a struct smaller than in the first release"),
        ("meta-size", "R1: a struct smaller than in the first release"),
        ("kind", "R4: a frame for neither preview nor result"),
        ("null", "R4: a NULL pointer"),
        ("no-meta", "R4: a NULL pointer"),
        ("not-mine", "R4: a frame that the plugin does not hold"),
    ] {
        check_rule(fault, words).await;
    }
}

#[tokio::test]
async fn a_frame_that_lies_about_what_it_shows_is_refused_by_name() {
    for (fault, words) in [
        ("position", "R4: a finger position that does not exist"),
        ("segments", "R2: more than 16 segments"),
        ("no-segments", "R4: a NULL pointer"),
        ("quality", "R4: a quality above 100"),
        ("score", "R4: an attack score above 1000"),
        ("ring", "R4: a list of more than 16 parts"),
        ("resolution", "R4: a resolution finer than a micrometre"),
        ("future", "R4: a picture of a time that has not come"),
        ("past", "R4: a picture from before its capture"),
    ] {
        check_rule(fault, words).await;
    }
}

#[tokio::test]
async fn what_is_not_known_is_data() {
    check("format", FailureCode::Unsupported, "cannot do what was asked").await;
    check("huge", FailureCode::DeviceError, "failed").await;
    check_ridden_out("extremes", None).await;
    check_ridden_out("strings", None).await;
    check_ridden_out("info-size", None).await;
    let ended = run("words").await;
    let failure = ended.failure.expect("it failed");
    assert_eq!(failure.code, FailureCode::DeviceError);
    let said = failure.plugin.expect("the plugin's words");
    assert_eq!(said.text.chars().count(), 200);
    for line in &ended.journal {
        assert!(line.len() < 2_000, "a line of {} bytes", line.len());
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}

#[tokio::test]
async fn what_comes_out_of_order_is_told_and_ridden_out_or_refused() {
    check_ridden_out("early", Some("R10: a request that does not run")).await;
    check_ridden_out("twice", Some("R4: a frame that the plugin does not hold")).await;
    check_rule("nothing", "R9: a capture that succeeded without a result").await;
    check_rule("keeps", "R9: a capture that succeeded without a result").await;
    check_rule("stores", "R11: something stored once a capture began").await;
}

#[tokio::test]
async fn after_a_cancel_nothing_is_taken_any_more() {
    let mut rig = Rig::start("after-cancel").await;
    rig.begin(60_000).await;
    rig.cancel().await;
    let (results, failure) = rig.captured().await;
    assert_eq!(results, 0);
    assert_eq!(failure.unwrap().code, FailureCode::Cancelled);
    rig.stop().await;
}

#[tokio::test]
async fn a_thread_that_calls_late_is_told_and_reaches_nobody() {
    let mut rig = Rig::start("late").await;
    assert_eq!(rig.capture(60_000).await.1, None);
    let journal = rig.journal();
    let told = || journal.has("R10: a request that does not run");
    rig::until(told).await;
    rig.capture_of_the_witness().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_flood_is_cut_and_ends_at_the_deadline_with_its_name() {
    for (fault, lines_max) in [("events", 10), ("lines", 40), ("complaints", 90)] {
        let before = rig::descriptors();
        let mut rig = Rig::start(fault).await;
        rig.begin(300).await;
        rig.capture_of_the_witness().await;
        let (_, failure) = rig.captured().await;
        let failure = failure.unwrap();
        assert_eq!(failure.code, FailureCode::PluginHung, "{fault}: {failure:?}");
        assert!(failure.text.contains("R7"), "{fault}: {failure:?}");
        let lines = rig.journal().lines();
        let of_plugin = lines.iter().filter(|line| line.contains(rig::FAULTY)).count();
        assert!(of_plugin < lines_max, "{fault}: {lines:#?}");
        rig.stop().await;
        assert_eq!(rig::children(), Vec::<u32>::new(), "{fault}");
        assert_eq!(rig::descriptors(), before, "{fault}");
    }
}

#[tokio::test]
async fn what_is_written_to_the_output_reaches_nobody_and_waits_for_nobody() {
    let ended = run("output").await;
    assert_eq!(ended.failure, None);
    assert!(
        !ended
            .journal
            .iter()
            .any(|line| line.contains("must reach nobody"))
    );
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_named_with_how() {
    check("exit", FailureCode::PluginCrashed, "exit status 3 (rule R5)").await;
    check("abort", FailureCode::PluginCrashed, "signal 6 (rule R5)").await;
    check("crash", FailureCode::PluginCrashed, "signal 11").await;
}

#[tokio::test]
async fn a_plugin_that_does_not_return_is_ended_at_its_deadline() {
    for fault in ["hang", "spin"] {
        let mut rig = Rig::start(fault).await;
        rig.begin(50).await;
        rig.capture_of_the_witness().await;
        let failure = rig.captured().await.1.unwrap();
        assert_eq!(failure.code, FailureCode::PluginHung, "{fault}");
        assert!(failure.text.contains("R7"), "{failure:?}");
        rig.stop().await;
        assert_eq!(rig::children(), Vec::<u32>::new(), "{fault}");
    }
}

#[tokio::test]
async fn a_client_that_is_gone_does_not_wait_for_a_plugin_that_ignores_its_cancel() {
    let mut rig = Rig::start("ignores-cancel").await;
    rig.begin(60_000).await;
    let begun = std::time::Instant::now();
    rig.reconnect().await;
    rig.until_state(DeviceState::Ready).await;
    // What is promised is two seconds in all.
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    rig.stop().await;
}

#[tokio::test]
async fn it_makes_no_process_and_few_threads() {
    check_ridden_out("fork", None).await;
    check(
        "threads",
        FailureCode::PluginMisbehaved,
        "more threads than its manifest allows",
    )
    .await;
}

#[tokio::test]
async fn a_plugin_that_meddles_with_the_hosts_descriptors_harms_itself() {
    for (fault, codes) in [
        (
            "close",
            &[FailureCode::PluginCrashed, FailureCode::PluginMisbehaved][..],
        ),
        ("forge", &[FailureCode::PluginMisbehaved]),
    ] {
        let ended = run(fault).await;
        let failure = ended.failure.unwrap_or_else(|| panic!("{fault}: succeeded"));
        assert!(codes.contains(&failure.code), "{fault}: {failure:?}");
    }
}

#[tokio::test]
async fn what_fails_before_it_is_ready_says_at_which_call() {
    for (fault, code, words) in [
        ("create-fails", FailureCode::DeviceError, "create"),
        (
            "open-lies",
            FailureCode::PluginMisbehaved,
            "open() succeeded and gave nothing",
        ),
        ("info-status", FailureCode::DeviceError, "info"),
        ("caps", FailureCode::PluginMisbehaved, "size of frames"),
    ] {
        let mut rig = Rig::start_without_waiting(fault).await;
        let device = rig.until_state(DeviceState::Faulted).await;
        let failure = device.failure.unwrap();
        assert_eq!(failure.code, code, "{fault}: {failure:?}");
        let said = failure.plugin.map(|plugin| plugin.text).unwrap_or_default();
        assert!(
            failure.text.contains(words) || said.contains(words),
            "{fault}: {} {said}",
            failure.text
        );
        rig.capture_of_the_witness().await;
        rig.stop().await;
        assert_eq!(rig::children(), Vec::<u32>::new(), "{fault}");
    }
}

#[tokio::test]
async fn a_plugin_that_hangs_in_create_is_ended_and_named() {
    let mut rig = Rig::start_without_waiting("create-hangs").await;
    let failure = rig.until_state(DeviceState::Faulted).await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::PluginHung);
    assert!(failure.text.contains("create()"), "{failure:?}");
    rig.stop().await;
}
