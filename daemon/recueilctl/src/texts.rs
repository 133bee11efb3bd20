//! Every code in words, in this one place: what it means and what to do.

use recueil_bus::{CaptureState, Code, Detail};
use recueil_dossier::{FingerPosition, Guidance, State};

use crate::failure::Own;

/// What a code is a code of, what it means, what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) code: &'static str,
    pub(crate) of: &'static str,
    pub(crate) means: &'static str,
    pub(crate) advice: &'static str,
}

/// All that is known: errors, guidance, then states.
pub(crate) fn all() -> Vec<Meaning> {
    let entry = |code, of, (means, advice)| Meaning {
        code,
        of,
        means,
        advice,
    };
    let errors = Code::ALL
        .iter()
        .map(|code| entry(code.as_str(), "error", error(*code)));
    let own = Own::ALL
        .iter()
        .map(|own| entry(own.as_str(), "error of recueilctl", own_failure(*own)));
    let guided = Guidance::ALL
        .iter()
        .map(|one| entry(one.code(), "guidance", guidance(*one)));
    let states = State::ALL
        .iter()
        .map(|one| entry(one.as_str(), "state of a dossier", state(*one)));
    let captures = CAPTURES
        .iter()
        .map(|one| entry(one.as_str(), "state of a capture", capture_state(*one)));
    let devices = DEVICES
        .iter()
        .map(|(code, meaning, advice)| entry(code, "state of a device", (*meaning, *advice)));
    errors
        .chain(own)
        .chain(guided)
        .chain(states)
        .chain(captures)
        .chain(devices)
        .collect()
}

/// Guidance for the person at the device, in words.
pub(crate) fn guide(code: &str, details: &Detail) -> String {
    let Some(known) = Guidance::ALL.into_iter().find(|known| known.code() == code) else {
        return code.replace('-', " ");
    };
    let (meaning, advice) = guidance(known);
    let hand = details
        .get("position")
        .and_then(|code| code.parse::<u8>().ok())
        .and_then(finger);
    let count = details
        .get("count")
        .map(|count| format!(" ({count} seen)"))
        .unwrap_or_default();
    match (known, hand) {
        (Guidance::Present, Some(hand)) => format!("present the {hand}"),
        (_, Some(hand)) => format!("{hand}: {meaning}{count}; {advice}"),
        (_, None) => format!("{meaning}{count}; {advice}"),
    }
}

/// A finger or hand in words.
pub(crate) fn finger(code: u8) -> Option<String> {
    FingerPosition::try_from(code)
        .ok()
        .map(|position| position.to_string())
}

const CAPTURES: [CaptureState; 8] = [
    CaptureState::Starting,
    CaptureState::Capturing,
    CaptureState::Analysing,
    CaptureState::Waiting,
    CaptureState::Storing,
    CaptureState::Completed,
    CaptureState::Cancelled,
    CaptureState::Failed,
];

const DEVICES: [(&str, &str, &str); 6] = [
    (
        "absent",
        "the device is known, and not on the machine now",
        "plug it in; it comes back under the same name",
    ),
    ("opening", "its driver is starting", "wait a moment"),
    ("ready", "it can capture", "start a capture"),
    (
        "in-session",
        "a capture is running on it",
        "wait for its end; `recueilctl devices` shows who holds it",
    ),
    (
        "faulted",
        "its driver failed and is started again by itself after a pause",
        "`recueilctl devices` shows why and when; unplugging it and plugging it in again shortens the pause",
    ),
    (
        "quarantined",
        "its driver failed too often and is not started any more",
        "`recueilctl devices` shows why; the administrator upgrades the driver, or tries it again with `recueilctl \
         devices release DEVICE`",
    ),
];

fn error(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::NoAgentSession => (
            "nobody said who works at this connection",
            "open an agent session first; recueilctl does so by itself",
        ),
        Code::NoAuthority => (
            "no polkit answers, so nothing privileged is allowed",
            "install and start polkit: systemctl status polkit",
        ),
        Code::NotAuthorized => (
            "this user may not do this",
            "log in at the desk, or ask the administrator for a polkit rule",
        ),
        Code::NotOwner => (
            "the dossier or capture is somebody else's, or another program took it over",
            "use a dossier of your own: `recueilctl dossier list`",
        ),
        Code::TooMany => (
            "too many requests, dossiers or captures of this user, or a limit of the dossier",
            "try again in a moment, or end what is not needed",
        ),
        Code::InvalidArgument => (
            "an argument is not what is taken",
            "read the text; `recueilctl dossier missing DOSSIER` names fields and papers",
        ),
        Code::UnknownProcedure => (
            "there is no such procedure",
            "procedures are files in /etc/recueil/procedures",
        ),
        Code::UnknownDossier => (
            "this user has no such dossier on this station",
            "look it up: `recueilctl dossier list`",
        ),
        Code::UnknownStep => (
            "the procedure has no such step, paper or field",
            "`recueilctl dossier show DOSSIER` lists its steps",
        ),
        Code::UnknownItem => (
            "the dossier has no such item",
            "`recueilctl dossier show DOSSIER` lists its items",
        ),
        Code::UnknownDevice => (
            "there is no such device, or it is not plugged in",
            "`recueilctl devices`; plug it in",
        ),
        Code::WrongState => (
            "the dossier or capture is in a state that does not allow this",
            "`recueilctl dossier show DOSSIER` shows its state; `recueilctl explain STATE` says what follows",
        ),
        Code::Incomplete => (
            "the dossier lacks something",
            "`recueilctl dossier missing DOSSIER` says what, and the command for each",
        ),
        Code::Busy => (
            "another program holds the device",
            "wait, or see who: `recueilctl devices`",
        ),
        Code::Cancelled => (
            "the capture was cancelled; what was taken is destroyed",
            "capture again",
        ),
        Code::Suspended => (
            "the machine goes to sleep, and captures end first",
            "begin again when it is awake; leases and what was accepted are kept",
        ),
        Code::DeviceGone => (
            "the device was unplugged during the capture",
            "plug it in and capture again",
        ),
        Code::DeviceTrouble => (
            "the device has a trouble of its own: jam, cover, paper, calibration",
            "look at the device, then capture again",
        ),
        Code::Unsupported => (
            "the device cannot do this",
            "choose another with --device; `recueilctl devices`",
        ),
        Code::Timeout => (
            "nothing usable was presented in the time or tries allowed",
            "follow the guidance and capture again; declare fingers that are missing",
        ),
        Code::PluginHung => (
            "the driver did not answer in time and was ended",
            "it was restarted; capture again, tell the administrator if it comes back",
        ),
        Code::PluginCrashed => (
            "the driver crashed",
            "it was restarted; capture again, tell the administrator if it comes back",
        ),
        Code::PluginMisbehaved => (
            "the driver broke its contract and was ended",
            "capture again; tell the administrator, the plugin needs its vendor",
        ),
        Code::Quarantined => (
            "the driver failed too often, so it is not started any more",
            "`recueilctl devices` says why; the administrator upgrades it, or tries it again with `recueilctl devices \
             release DEVICE`",
        ),
        Code::PluginRefused => (
            "the driver is not admitted",
            "`recueilctl plugins` says why; ask the administrator",
        ),
        Code::NoSandbox => (
            "this machine cannot confine the driver, so it is not started",
            "ask the administrator: a kernel with landlock and seccomp is needed",
        ),
        Code::DevicesUnavailable => (
            "the device service does not answer",
            "systemctl status recueil-hostd",
        ),
        Code::AnalyserEnded => (
            "the process that reads pictures ended; nothing of them is left",
            "present again",
        ),
        Code::NotConfigured => (
            "no CERT, key or certificate is configured",
            "the administrator enrols the station: /etc/recueil/recueil.toml",
        ),
        Code::CertUnreachable => (
            "CERT cannot be reached",
            "go on working; what is sealed is sent later. `recueilctl status` shows the line",
        ),
        Code::CertUnknown => (
            "CERT does not know the number",
            "read it again from the applicant's summary",
        ),
        Code::CertRefused => (
            "CERT refuses the station, or answers outside the protocol",
            "`recueilctl status`; ask the administrator to check the station's certificates",
        ),
        Code::CertificateInvalid => (
            "a certificate does not allow sealing now; the draft is kept",
            "check the clock and the certificates: `recueilctl status`",
        ),
        Code::SealFailed => (
            "sealing failed its own check; the draft is kept",
            "seal again; if it fails again ask the administrator for the journal",
        ),
        Code::Service => (
            "the station's service does not answer, or the bus refuses",
            "systemctl status recueild",
        ),
        Code::Storage => (
            "the disk refuses; what was accepted before is kept",
            "check the disk: df /var/lib/recueil",
        ),
    }
}

fn own_failure(own: Own) -> (&'static str, &'static str) {
    match own {
        Own::Usage => (
            "the command is not one that recueilctl knows",
            "recueilctl VERB --help",
        ),
        Own::UnknownCode => (
            "recueilctl knows no such code",
            "`recueilctl explain` lists all of them",
        ),
        Own::NotReached => (
            "the dossier did not come to the state in the time given, or cannot any more",
            "`recueilctl dossier show DOSSIER` shows where it stands and why",
        ),
        Own::Interrupted => (
            "a signal ended the work; a capture that was running was cancelled first",
            "what was accepted before is kept; go on from there",
        ),
    }
}

fn guidance(guidance: Guidance) -> (&'static str, &'static str) {
    match guidance {
        Guidance::Present => ("the device waits", "present the hand, page or print"),
        Guidance::Hold => ("the picture is being taken", "keep still"),
        Guidance::Lift => ("the picture is taken", "lift the hand"),
        Guidance::LiftedTooEarly => (
            "lifted before the picture was taken",
            "present again and keep still until told to lift",
        ),
        Guidance::FingersMissing => (
            "fewer fingers than asked",
            "put all four fingers flat on the glass",
        ),
        Guidance::TooManyObjects => (
            "more on the glass than the fingers asked",
            "keep the thumb and everything else off the glass",
        ),
        Guidance::WrongHand => ("this is the other hand", "present the hand that is asked"),
        Guidance::SameHandTwice => ("this hand was given before", "present the other hand"),
        Guidance::QualityLow => (
            "the prints are too weak",
            "press a little, dry or moisten the fingers, present again",
        ),
        Guidance::NoPrintFound => (
            "no photo print was found on the glass",
            "lay the print flat in the corner of the glass, face down",
        ),
        Guidance::SeveralPrints => ("more than one print lies on the glass", "leave only one"),
        Guidance::EdgeUnclear => (
            "the print cannot be told from the lid",
            "lay a darker sheet behind the print",
        ),
        Guidance::PrintCutOff => (
            "the print reaches over the edge of the glass",
            "move it wholly onto the glass",
        ),
        Guidance::PrintWrongSize => (
            "the print is not 35 by 45 mm",
            "use a print of the right size, not cut",
        ),
        Guidance::PrintTilted => (
            "the print lies too far from straight",
            "lay it along the edge of the glass",
        ),
        Guidance::BlankPage => ("the page is empty", "turn it over and scan again"),
        Guidance::DeviceUnsuitable => (
            "the device's pictures are not of the kind that is needed",
            "choose another device; trying again will not help",
        ),
        Guidance::Accepted => ("good, and kept", "go on"),
        Guidance::TryAgain => ("not good enough", "present again"),
    }
}

fn state(state: State) -> (&'static str, &'static str) {
    match state {
        State::Draft => (
            "being collected, kept encrypted on the station until it expires",
            "`recueilctl dossier missing DOSSIER` says what is lacking; then seal it",
        ),
        State::ToSign => ("complete, waiting for the agent's card", "sign it, or cancel it"),
        State::Sealed => (
            "signed, encrypted and queued; the station cannot read it any more",
            "nothing: it is sent by itself; `recueilctl outbox`",
        ),
        State::Sending => (
            "on its way to CERT",
            "nothing: an interrupted transfer is resumed",
        ),
        State::Stored => (
            "CERT has it durably (receipt R1)",
            "nothing: the final receipt follows",
        ),
        State::Ingested => (
            "CERT opened, verified and took it (receipt R2); the station erased its copy",
            "nothing: give the applicant the demande's number",
        ),
        State::Refused => (
            "CERT refused it; the reason is in its record",
            "read why: `recueilctl dossier show DOSSIER`, then `recueilctl dossier acknowledge DOSSIER`",
        ),
        State::Cancelled => (
            "given up before sealing; its key and data are destroyed",
            "open a new dossier",
        ),
        State::Expired => (
            "not finished in time; its key and data are destroyed",
            "open a new dossier",
        ),
        State::InInstruction => ("CERT examines the demande", "nothing: wait for CERT"),
        State::Complement => (
            "CERT asks for a complement",
            "open a complement, a dossier of its own",
        ),
        State::Production => ("the title is being made", "nothing: wait for it"),
        State::Available => (
            "the title is at the town hall",
            "hand it over: `recueilctl handover DEMANDE`",
        ),
        State::HandedOver => ("the title was handed over", "nothing: this is the end"),
    }
}

fn capture_state(state: CaptureState) -> (&'static str, &'static str) {
    match state {
        CaptureState::Starting => ("analyser and device are being opened", "wait a moment"),
        CaptureState::Capturing => ("the device captures", "follow the guidance"),
        CaptureState::Analysing => ("the picture is taken and is being measured", "wait a moment"),
        CaptureState::Waiting => (
            "a try was not good enough and a command is awaited",
            "retry, use the best, or cancel",
        ),
        CaptureState::Storing => ("records are being encoded and stored", "wait a moment"),
        CaptureState::Completed => ("over; the items are in the dossier", "go on with the dossier"),
        CaptureState::Cancelled => (
            "over, by the client or Ctrl-C; what was taken is destroyed",
            "capture again",
        ),
        CaptureState::Failed => (
            "over, by a failure",
            "its error's code says why: `recueilctl explain CODE`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_names_the_hand_and_what_was_seen() {
        let details = Detail::from([("position".to_owned(), "13".to_owned())]);
        assert_eq!(guide("present", &details), "present the right four fingers");
        let details = Detail::from([("count".to_owned(), "3".to_owned())]);
        assert_eq!(
            guide("fingers-missing", &details),
            "fewer fingers than asked (3 seen); put all four fingers flat on the glass"
        );
        assert_eq!(guide("of-a-later-version", &Detail::new()), "of a later version");
    }

    #[test]
    fn no_code_stands_twice_in_one_kind() {
        let all = all();
        for (index, one) in all.iter().enumerate() {
            assert!(!one.means.is_empty() && !one.advice.is_empty());
            assert!(
                !all[..index].iter().any(|o| (o.code, o.of) == (one.code, one.of)),
                "{one:?}"
            );
        }
    }
}
