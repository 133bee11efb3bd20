//! The safe Rust layer of the plugin contract.
