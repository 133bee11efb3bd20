//! CERT's answers as the courier takes them, and requests as the CERT simulator does.

use std::cell::OnceCell;

use jiff::Timestamp;
use recueil_courier::fuzzing::{Question, Taken, ask, clock_trouble};
use recueil_dossier::{DemandeNumber, DossierId, PreDemandeNumber};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Runtime;

use crate::bytes::Bytes;

/// What fits into one direction of the line before it is read.
const LINE_BYTES: usize = 64 << 10;

/// The first byte chooses the question, the rest is what the line answers: HTTP, or anything else.
pub fn answers(bytes: &[u8]) {
    let Some((choice, answer)) = bytes.split_first() else {
        return;
    };
    let (id, number, demandes) = asked();
    let size = 1 << 20;
    let part = vec![7; 100];
    let question = match choice % 7 {
        0 => Question::Announce(id, size),
        1 => Question::Offset(size),
        2 => Question::Send(1000, part),
        3 => Question::Commit(id),
        4 => Question::Receipt(id),
        5 => Question::PreDemande(&number),
        _ => Question::Statuses(&demandes),
    };
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    let taken = RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime")
        });
        runtime.block_on(async {
            let (ours, theirs) = duplex(LINE_BYTES);
            let answer = answer.to_vec();
            let stranger = tokio::spawn(stranger(theirs, answer));
            let taken = ask(ours, question).await;
            stranger.abort();
            taken
        })
    });
    match taken {
        Taken::Announced(upload, offset) => {
            super::reach("cert-answers");
            assert!(offset <= size);
            assert!(upload.is_none_or(|path| path.starts_with("/v1/uploads/") && path.len() <= 256));
        }
        Taken::Offset(offset) => assert!(if choice % 7 == 2 {
            offset == 1100
        } else {
            offset <= size
        }),
        Taken::Cms(cms) => {
            assert!(cms.len() <= 256 << 10 && cms.first() == Some(&0x30));
            assert!((3..=5).contains(&(choice % 7)));
        }
        Taken::Nothing => assert_eq!(choice % 7, 4),
        Taken::Statuses(statuses) => {
            assert!(statuses.len() <= demandes.len());
            for (demande, status) in statuses {
                assert!(demandes.iter().any(|asked| asked.as_str() == demande));
                assert!((1..=48).contains(&status.len()));
                assert!(status.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            }
        }
        Taken::Failed(text) => assert!(text.len() <= 400, "{text}"),
    }
}

fn asked() -> (DossierId, PreDemandeNumber, Vec<DemandeNumber>) {
    (
        DossierId::new(Timestamp::UNIX_EPOCH, [1; 10]),
        "VALID12345".parse().expect("a number"),
        ["2026AB000042", "2026AB000043"]
            .map(|number| number.parse().expect("a number"))
            .to_vec(),
    )
}

/// Hears one question out and says what it likes.
async fn stranger(mut line: DuplexStream, answer: Vec<u8>) {
    let mut heard: Vec<u8> = Vec::new();
    let mut part = [0; 1024];
    while !heard.windows(4).any(|window| *window == *b"\r\n\r\n") {
        match line.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(read) => heard.extend(part.iter().take(read)),
        }
    }
    // Whether it is heard to its end is the other side's affair.
    let _unheard = line.write_all(&answer).await;
}

/// Seconds between the clocks that are told.
const TOLD_S: i64 = 60;

/// This station's time, CERT's, and the date of an answer as CERT, or anybody, writes it.
pub fn clocks(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    // As far as dates of the protocol go, some years before and after.
    let mut time = || Timestamp::from_second(i64::from(bytes.word())).expect("a time until 2106");
    let (ours, theirs) = (time(), time());
    let date = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let ahead_s = ours.as_second() - theirs.as_second();
    let told = clock_trouble(Some(&date), ours);
    super::reach("cert-clocks");
    assert_eq!(
        told.is_some(),
        ahead_s.abs() > TOLD_S,
        "{ours} beside {date}: {told:?}"
    );
    if let Some(told) = told {
        assert_eq!(
            told.contains("ahead of"),
            ahead_s > 0,
            "{ours} beside {date}: {told}"
        );
    }
    // Whatever else stands there is a date, or says nothing.
    let text = String::from_utf8_lossy(bytes.0);
    if let Some(told) = clock_trouble(Some(&text), ours) {
        assert!(told.len() <= 200, "{told}");
    }
}

/// Ids, queries and bodies of requests, and orders on the control socket.
pub fn requests(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(recueil_cert::fuzzing::request(text) <= 1, "no text is two things");
    }
    if recueil_cert::fuzzing::order(bytes) {
        super::reach("cert-requests");
    }
}
