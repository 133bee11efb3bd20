//! Sealing, receipts and envelopes, judged by other people's programs: `openssl`, `python3`, `unzip`, `file`.

mod envelope;
mod parcel;
mod receipt;
mod support;
