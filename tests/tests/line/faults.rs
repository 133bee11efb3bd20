//! What can go wrong between a station and CERT, as data: what is done to the line or to CERT, what whoever looks
//! after the station reads meanwhile, what is to be done, and how the dossier ends once the fault is lifted.
//! `tests/FAULTS-LINE.md` shows the same table, and is compared with it.

use recueil_cert::proxy::End;

/// One fault.
pub(crate) struct Fault {
    /// What happens, for people.
    pub(crate) name: &'static str,
    pub(crate) cause: Cause,
    /// What `recueilctl outbox` or `recueilctl status` says, in part.
    pub(crate) told: &'static str,
    /// What is to be done.
    pub(crate) remedy: &'static str,
    /// What other parcels do meanwhile.
    pub(crate) others: Others,
    pub(crate) fate: Fate,
}

/// How it is brought about.
pub(crate) enum Cause {
    /// An order to CERT for each of this dossier's or station's requests; `ID` stands for the dossier.
    Cert(&'static str),
    /// Two of them.
    Certs(&'static str, &'static str),
    /// CERT is not running.
    Absent,
    /// The line refuses connections.
    Refused,
    /// The line takes connections and carries nothing.
    Silent,
    /// The line ends so after this many bytes up, each time.
    Cut(u64, End),
    /// The line goes dead once after this many bytes up: neither end sees anything. It is connected anew by itself.
    Dead(u64),
    /// Each byte from CERT takes 20 ms.
    Trickle,
    /// Somebody else answers in the place of CERT.
    Impostor(Impostor),
}

/// Who answers.
#[derive(Clone, Copy)]
pub(crate) enum Impostor {
    /// A sign-in page without TLS.
    Portal,
    /// A server by a certificate of another root.
    OtherRoot,
    /// CERT by a certificate that has ended.
    Expired,
    /// CERT by a certificate that is not valid yet.
    Early,
    /// A server of CERT's root under another name.
    OtherName,
    /// A server, or a proxy that looks into TLS, that has no TLS 1.3.
    OldTls,
}

/// What parcels do that the fault does not mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// They go.
    Go,
    /// They wait too: the whole line is at fault.
    Wait,
}

/// How a dossier ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Ingested,
    /// By CERT's signed word; the parcel stays until an agent has acknowledged it.
    Refused,
}

const NETWORK: &str = "nothing if the network comes back by itself; else the network of the town hall";
const CERT_S: &str = "nothing at the station; CERT, if it lasts";
const CALL: &str = "call CERT; nothing is lost meanwhile";
const NOTHING: &str = "nothing";
const PROXY: &str = "let CERT's address through the proxy unopened";

const fn go(name: &'static str, order: &'static str, told: &'static str, remedy: &'static str) -> Fault {
    Fault {
        name,
        cause: Cause::Cert(order),
        told,
        remedy,
        others: Others::Go,
        fate: Fate::Ingested,
    }
}

const fn wait(name: &'static str, cause: Cause, told: &'static str, remedy: &'static str) -> Fault {
    Fault {
        name,
        cause,
        told,
        remedy,
        others: Others::Wait,
        fate: Fate::Ingested,
    }
}

/// The line itself, and who stands at its end.
pub(crate) const LINE: &[Fault] = &[
    wait(
        "CERT is absent",
        Cause::Absent,
        "CERT cannot be reached: look at the network",
        NETWORK,
    ),
    wait(
        "connections are refused",
        Cause::Refused,
        "CERT cannot be reached: look at the network",
        NETWORK,
    ),
    wait(
        "connections stand, nothing is carried",
        Cause::Silent,
        "CERT's address answers, but not in TLS",
        NETWORK,
    ),
    wait(
        "the line is cut in every handshake",
        Cause::Cut(300, End::Reset),
        "CERT cannot be reached",
        NETWORK,
    ),
    wait(
        "the line is cut in every upload",
        Cause::Cut(3500, End::Closed),
        "CERT cannot be reached",
        NETWORK,
    ),
    Fault {
        name: "the line goes dead in an upload, without a sign",
        cause: Cause::Dead(3500),
        told: "CERT does not answer in time",
        remedy: NETWORK,
        others: Others::Go,
        fate: Fate::Ingested,
    },
    wait(
        "each byte of an answer comes late (slow-loris)",
        Cause::Trickle,
        "CERT's address answers, but not in TLS",
        NETWORK,
    ),
    wait(
        "a sign-in page answers (captive portal)",
        Cause::Impostor(Impostor::Portal),
        "captive portal",
        "sign in, or ask for a line without a portal",
    ),
    wait(
        "a proxy answers by a certificate of its own",
        Cause::Impostor(Impostor::OtherRoot),
        "does not come from CERT's root",
        PROXY,
    ),
    wait(
        "CERT's certificate has ended",
        Cause::Impostor(Impostor::Expired),
        "CERT's certificate was valid until",
        "the clock first; else CERT",
    ),
    wait(
        "CERT's certificate is not valid yet",
        Cause::Impostor(Impostor::Early),
        "CERT's certificate is valid from",
        "the clock first; else CERT",
    ),
    wait(
        "a server of CERT's under another name",
        Cause::Impostor(Impostor::OtherName),
        "look at [courier] url",
        "`[courier] url`",
    ),
    wait(
        "TLS 1.2 and no newer",
        Cause::Impostor(Impostor::OldTls),
        "does not speak TLS 1.3",
        PROXY,
    ),
];

/// Answers of CERT.
pub(crate) const ANSWERS: &[Fault] = &[
    wait(
        "HTTP 500 to everything",
        Cause::Cert(r#"{"do":"answer-wrong","to":"any","how":{"status":{"status":500}}}"#),
        "trouble of its own (HTTP 500)",
        CERT_S,
    ),
    go(
        "HTTP 500 to one dossier",
        r#"{"do":"answer-wrong","to":"any","dossier":"ID","how":{"status":{"status":500}}}"#,
        "trouble of its own (HTTP 500)",
        CERT_S,
    ),
    wait(
        "HTTP 502 of what stands before CERT",
        Cause::Cert(r#"{"do":"answer-wrong","to":"any","how":{"status":{"status":502}}}"#),
        "trouble of its own (HTTP 502)",
        CERT_S,
    ),
    wait(
        "HTTP 503 with Retry-After",
        Cause::Cert(
            r#"{"do":"answer-wrong","to":"any","how":{"status":{"status":503,"code":"busy","retry_after":"1"}}}"#,
        ),
        "CERT is busy",
        "nothing: it is tried again when CERT says",
    ),
    wait(
        "HTTP 429",
        Cause::Cert(r#"{"do":"answer-wrong","to":"any","how":{"status":{"status":429}}}"#),
        "CERT is busy",
        "nothing: it is tried again",
    ),
    go(
        "HTTP 507: CERT's disk is full",
        r#"{"do":"answer-wrong","to":"commit","dossier":"ID","how":{"status":{"status":507}}}"#,
        "trouble of its own (HTTP 507)",
        CERT_S,
    ),
    go(
        "HTTP 413: the parcel is too large for CERT",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"status":{"status":413,"code":"too-large"}}}"#,
        "does not take a parcel this large",
        CALL,
    ),
    go(
        "HTTP 409 conflict: other bytes under the same id",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"status":{"status":409,"code":"conflict"}}}"#,
        "other bytes under this dossier's id",
        "call CERT, then `systemctl restart recueil-courier`",
    ),
    go(
        "HTTP 409 without a word",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"status":{"status":409}}}"#,
        "not of the protocol (HTTP 409)",
        CALL,
    ),
    go(
        "HTTP 403 not-yours",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"status":{"status":403,"code":"not-yours"}}}"#,
        "belongs to another station",
        CALL,
    ),
    wait(
        "HTTP 403 not-registered",
        Cause::Cert(
            r#"{"do":"answer-wrong","to":"any","how":{"status":{"status":403,"code":"not-registered"}}}"#,
        ),
        "CERT does not know this station",
        "register the station's certificate at CERT",
    ),
    wait(
        "HTTP 403 of what stands before CERT",
        Cause::Cert(r#"{"do":"answer-wrong","to":"any","how":{"status":{"status":403}}}"#),
        "forbids this station to ask (HTTP 403)",
        CALL,
    ),
    go(
        "HTTP 404 to one dossier",
        r#"{"do":"answer-wrong","to":"any","dossier":"ID","how":{"status":{"status":404,"code":"unknown"}}}"#,
        "does not know the dossier",
        CALL,
    ),
    go(
        "HTTP 422: the bytes arrive changed",
        r#"{"do":"answer-wrong","to":"commit","dossier":"ID","how":{"status":{"status":422,"code":"digest"}}}"#,
        "other bytes arrive at CERT than are sent",
        "what opens the line; else CERT",
    ),
    go(
        "HTTP 302",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"status":{"status":302}}}"#,
        "not of the protocol (HTTP 302)",
        CALL,
    ),
    wait(
        "uploads are answered by something else",
        Cause::Cert(r#"{"do":"answer-wrong","to":"patch","how":{"status":{"status":200}}}"#),
        "answers in its place (captive portal, proxy)",
        PROXY,
    ),
    go(
        "an offset below 0",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"offset":"-5"}}"#,
        "not of the protocol (JSON)",
        CALL,
    ),
    go(
        "an offset beyond the parcel",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"offset":"18446744073709551615"}}"#,
        "not of the protocol (the answer to an announcement)",
        CALL,
    ),
    go(
        "a part is acknowledged with an offset beyond it",
        r#"{"do":"answer-wrong","to":"patch","how":{"offset":"268435456"}}"#,
        "",
        NOTHING,
    ),
    go(
        "a part is acknowledged with an offset before it",
        r#"{"do":"answer-wrong","to":"patch","how":{"offset":"0"}}"#,
        "",
        NOTHING,
    ),
    go(
        "an upload's address elsewhere",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":{"upload":"https://elsewhere.example/v1/uploads/1"}}"#,
        "not of the protocol (the answer to an announcement)",
        CALL,
    ),
    go(
        "five thousand headers",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":"many-headers"}"#,
        "not of the protocol (an answer that is no HTTP, or has too many headers)",
        CALL,
    ),
    go(
        "a body without end",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":"endless-body"}"#,
        "not of the protocol (an answer that is too long)",
        CALL,
    ),
    go(
        "a body without end, byte by byte",
        r#"{"do":"answer-wrong","to":"announce","dossier":"ID","how":"slow-body"}"#,
        "CERT does not answer in time",
        CERT_S,
    ),
    go(
        "an answer of another media type",
        r#"{"do":"answer-wrong","to":"commit","dossier":"ID","how":{"type":"text/html"}}"#,
        "not of the protocol (another media type)",
        CALL,
    ),
    go(
        "the answer to the commit is lost each time",
        r#"{"do":"answer-wrong","to":"commit","dossier":"ID","how":"lost"}"#,
        "CERT cannot be reached",
        NETWORK,
    ),
];

const R1: &str = "CERT's receipt is not believed";

/// Receipts.
pub(crate) const RECEIPTS: &[Fault] = &[
    wait(
        "R1 and never a word more",
        Cause::Cert(r#"{"do":"ingest","mode":"hold"}"#),
        "\"state\":\"stored\"",
        "nothing; call CERT if `outbox` says so, after a day",
    ),
    go(
        "R2 with a changed bit",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"forged"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 by another key of CERT",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"other-key"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 of another dossier",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"other-dossier"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 of another parcel",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"other-parcel"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 of another station",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"other-station"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 of another content",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"other-manifest"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 by a certificate that had ended",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"expired"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 with the serial number of another receipt",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"old-serial"}}"#,
        "it contradicts what is known",
        CALL,
    ),
    go(
        "R2 that is no CMS inside",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"malformed"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 without a signature",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"unsigned"}}"#,
        "not of the protocol (no CMS)",
        CALL,
    ),
    go(
        "R2 with 100 KiB after it",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"oversized"}}"#,
        R1,
        CALL,
    ),
    go(
        "R1 in the place of R2 (replayed)",
        r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"other-kind"}}"#,
        R1,
        CALL,
    ),
    go(
        "R2 in the place of R1",
        r#"{"do":"answer-wrong","to":"commit","dossier":"ID","how":{"receipt":"other-kind"}}"#,
        "",
        NOTHING,
    ),
    Fault {
        name: "R1 of another dossier, R2 kept back",
        cause: Cause::Certs(
            r#"{"do":"ingest","mode":"hold"}"#,
            r#"{"do":"answer-wrong","to":"commit","dossier":"ID","how":{"receipt":"other-dossier"}}"#,
        ),
        told: R1,
        remedy: CALL,
        others: Others::Wait,
        fate: Fate::Ingested,
    },
    Fault {
        name: "a refusal that CERT did not sign, before it has judged",
        cause: Cause::Certs(
            r#"{"do":"ingest","mode":"hold"}"#,
            r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"forged-refusal"}}"#,
        ),
        told: "not of the protocol (a final receipt for a dossier that is not final)",
        remedy: CALL,
        others: Others::Wait,
        fate: Fate::Ingested,
    },
    Fault {
        name: "the same refusal, and CERT says \"refused\"",
        cause: Cause::Certs(
            r#"{"do":"answer-wrong","to":"announce","dossier":"ID","skip":1,"how":{"state":"refused"}}"#,
            r#"{"do":"answer-wrong","to":"receipt","dossier":"ID","how":{"receipt":"forged-refusal"}}"#,
        ),
        told: R1,
        remedy: CALL,
        others: Others::Go,
        fate: Fate::Ingested,
    },
    Fault {
        name: "a refusal that CERT signed",
        cause: Cause::Cert(r#"{"do":"refuse-next"}"#),
        told: "",
        remedy: "read the reason, acknowledge it, open a new dossier",
        others: Others::Go,
        fate: Fate::Refused,
    },
];

/// All of them, by what is at fault.
pub(crate) const ALL: [(&str, &[Fault]); 3] = [
    ("The line", LINE),
    ("CERT's answers", ANSWERS),
    ("Receipts", RECEIPTS),
];
