//! The CERT simulator.
