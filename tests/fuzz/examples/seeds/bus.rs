//! What comes from the bus.

use std::num::NonZeroU32;

use recueil_bus::fuzzing::{write_finger, write_messages, write_page, write_wanted};
use recueil_fuzz::targets::cms::dossier;

use crate::{Result, put};

pub(crate) fn write() -> Result {
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
    put("bus-arguments", "finger", &write_finger(7, "bandaged"))?;
    messages()
}

/// Messages as they come to the door, alone and one after another.
fn messages() -> Result {
    let serial = NonZeroU32::new(99).ok_or("a serial")?;
    let caller = write_messages(":1.42", serial)?;
    let bus = write_messages("org.freedesktop.DBus", serial)?;
    for (name, message) in ["call", "answer", "error", "signal"].iter().zip(&caller) {
        put("bus-head", name, message)?;
    }
    let with_fds = with_field(&caller[0], [9, 1, b'u', 0, 2, 0, 0, 0]);
    put("bus-head", "descriptors", &with_fds)?;
    let unknown = with_field(&caller[0], [200, 1, b'u', 0, 2, 0, 0, 0]);
    put("bus-head", "unknown-field", &unknown)?;
    let mut silent = caller[0].clone();
    silent[2] |= 1;
    put("bus-head", "silent", &silent)?;
    // A ping, in the other byte order.
    let mut big = vec![b'B', 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0];
    for (code, kind, text) in [(1, b'o', "/"), (3, b's', "Ping"), (7, b's', ":1.5")] {
        big.resize(big.len().next_multiple_of(8), 0);
        big.extend([code, 1, kind, 0]);
        big.extend(u32::try_from(text.len())?.to_be_bytes());
        big.extend(text.as_bytes());
        big.push(0);
    }
    let fields = u32::try_from(big.len() - 16)?.to_be_bytes();
    big[12..16].copy_from_slice(&fields);
    big.resize(big.len().next_multiple_of(8), 0);
    put("bus-head", "big-endian", &big)?;

    let mut long = caller[0].clone();
    let body = (100_u32 << 10).to_le_bytes();
    long[4..8].copy_from_slice(&body);
    let stream = |piece: u8, messages: &[&[u8]]| [&[piece], messages.concat().as_slice()].concat();
    let calls: Vec<&[u8]> = std::iter::repeat_n(caller[0].as_slice(), 20).collect();
    put("bus-door", "calls", &stream(40, &calls))?;
    let all = [&caller, &bus]
        .map(|of| of.each_ref().map(Vec::as_slice))
        .concat();
    put("bus-door", "all", &stream(0, &all))?;
    put(
        "bus-door",
        "refused",
        &stream(100, &[&with_fds, &silent, &unknown, &big, &long, &caller[0]]),
    )?;
    put(
        "bus-door",
        "http",
        &stream(10, &[&caller[0], b"HTTP/1.1 200 OK\r\n\r\n"]),
    )
}

/// The same with one more field before all others.
fn with_field(call: &[u8], field: [u8; 8]) -> Vec<u8> {
    let mut bytes = call.to_vec();
    let len = [12, 13, 14, 15].map(|at| call[at]);
    let len = u32::from_le_bytes(len) + 8;
    bytes[12..16].copy_from_slice(&len.to_le_bytes());
    bytes.splice(16..16, field);
    bytes
}
