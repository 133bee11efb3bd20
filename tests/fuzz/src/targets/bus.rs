//! What callers on the bus give: messages as they come to the door, and bodies of method calls as zbus hands them on.

use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use recueil_bus::fuzzing;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// Longest message and longest header that the door takes, bytes.
const MESSAGE_MAX_BYTES: usize = 64 << 10;
const HEAD_MAX_BYTES: usize = 8 << 10;
/// Whose signals are listened to.
const BUS: &str = "org.freedesktop.DBus";

/// One message, by our reader and by zbus.
pub fn head(bytes: &[u8]) {
    let extent = fuzzing::extent(bytes);
    if let Some((head, total)) = extent {
        assert!(16 <= head && head <= total && total <= 128 << 20, "{extent:?}");
    }
    // The door reads the head before the rest is there.
    let head = extent.map_or(bytes.len(), |(head, _total)| head.min(bytes.len()));
    let ours = fuzzing::head(&bytes[..head]);
    let whole = extent.is_some_and(|(_head, total)| total == bytes.len());
    let theirs = whole.then(|| fuzzing::head_by_zbus(bytes)).flatten();
    if let Some(theirs) = &theirs {
        super::reach("bus-head");
        assert_eq!(
            ours.as_ref(),
            Some(theirs),
            "what zbus understands is seen as it is"
        );
        let asking = fuzzing::head_by_zbus(&fuzzing::asking(bytes));
        let expected = fuzzing::HeadRead {
            silent: false,
            ..theirs.clone()
        };
        assert_eq!(asking, Some(expected), "it is the same but for the answer");
    }
}

/// The length of a piece, and a stream of messages: what passes does not depend on how the stream is cut.
pub fn door(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else {
        return;
    };
    thread_local! {
        static SOCKET: (Runtime, Arc<UnixStream>, StdStream) = socket();
    }
    let (whole, pieces) = SOCKET.with(|(runtime, socket, _other)| {
        let _inside = runtime.enter();
        (
            fuzzing::pass(socket, &mut std::iter::once(stream)),
            fuzzing::pass(socket, &mut stream.chunks(usize::from(*piece) + 1)),
        )
    });
    assert_eq!(whole.first, pieces.first);
    assert_eq!(whole.calls, pieces.calls);
    assert_eq!(whole.refused, pieces.refused);
    assert_eq!(whole.ended, pieces.ended);
    assert!(
        pieces.kept < MESSAGE_MAX_BYTES.max(HEAD_MAX_BYTES) + 256,
        "{}",
        pieces.kept
    );
    for message in &whole.first {
        let head = read(message);
        assert!(
            head.kind == "answer" || (head.kind == "signal" && head.sender == BUS),
            "{head:?}"
        );
    }
    for (sender, message) in &whole.calls {
        super::reach("bus-door");
        let head = read(message);
        assert_eq!((head.kind, &head.sender), ("call", sender));
        assert!(!head.silent && head.fds == 0, "{head:?}");
    }
    for (_serial, why) in &whole.refused {
        assert!(why.starts_with("fr.recueil.Station1.Error."), "{why}");
    }
}

/// The head of a message that passed, which is whole and not too long.
fn read(message: &[u8]) -> fuzzing::HeadRead {
    let (head, total) = fuzzing::extent(message).expect("it passed");
    assert!(head <= HEAD_MAX_BYTES && total == message.len() && total <= MESSAGE_MAX_BYTES);
    fuzzing::head(&message[..head]).expect("it passed")
}

/// A socket on which nothing comes, its other end kept open.
fn socket() -> (Runtime, Arc<UnixStream>, StdStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("a runtime");
    let (ours, other) = StdStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("a socket");
    let inside = runtime.enter();
    let ours = UnixStream::from_std(ours).expect("a socket");
    drop(inside);
    (runtime, Arc::new(ours), other)
}

/// `OpenDossier`, `ListDossiers`, `StartCapture`, `DeclareMissingFinger`.
pub fn arguments(bytes: &[u8]) {
    if let Some(Ok([procedure, demande, token])) = fuzzing::open_dossier(bytes) {
        super::reach("bus-arguments");
        assert!(procedure.is_some_and(|procedure| procedure.len() <= 128));
        if let Some(demande) = demande {
            assert!((6..=20).contains(&demande.len()) && demande.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
        assert!(token.as_deref().is_none_or(is_token));
    }
    if let Some(Ok(state)) = fuzzing::list_dossiers(bytes) {
        assert!(state.is_none_or(|name| !name.is_empty()));
    }
    if let Some(Ok([step, device, document, token])) = fuzzing::start_capture(bytes) {
        assert!(step.is_some_and(|step| step.len() <= 128));
        assert!(device.is_some_and(|device| device.len() <= 128));
        assert!(document.is_none_or(|document| document.len() <= 256));
        assert!(token.as_deref().is_none_or(is_token));
    }
    if let Some(Ok(finger)) = fuzzing::missing_finger(bytes) {
        assert!((1..=10).contains(&finger));
    }
    // Clients read what the service says, and some of them are ours.
    fuzzing::view(bytes);
}

fn is_token(token: &str) -> bool {
    (1..=64).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Names and texts.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for name in fuzzing::names(text) {
        match name {
            Ok(name) => {
                super::reach("bus-names");
                assert_eq!(name, text, "a name has one spelling");
                assert!(name.len() <= 64 && !name.contains(['/', '\0']));
            }
            // Whatever a caller said, he is told the rule and not his own words.
            Err(error) => assert!(error.text.len() <= 200, "{}", error.text),
        }
    }
    assert_eq!(fuzzing::text(text, 128).is_ok(), text.len() <= 128);
    let path = fuzzing::device_path(text);
    assert_eq!(path.is_ok(), !text.is_empty(), "{path:?}");
}
