//! The real program, driven over its sockets by a hostd and an analyser that the tests play, with plugins in C
//! that are compiled from `tests/plugins` against the header when a test runs.

mod captures;
mod loading;
mod memory;
mod sandbox;
mod support;
