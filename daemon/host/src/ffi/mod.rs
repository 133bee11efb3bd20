//! All that is `unsafe` in this crate: loading the library, calling it, being called by it, and mapping frame
//! memory. Each module turns the contract's pointers into plain Rust at once; what happens then is decided
//! outside.
#![expect(
    unsafe_code,
    reason = "the plugin contract is C, and memory is mapped; design.md section 5 allows it here"
)]

pub(crate) mod host_table;
pub(crate) mod memory;
pub(crate) mod meta;
pub(crate) mod plugin;
pub(crate) mod process;
mod sized;
pub(crate) mod stranger;
