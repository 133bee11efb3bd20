//! Each target is a function of bytes that ends by itself or panics.

pub mod bus;
pub mod cert;
pub mod cms;
pub mod files;
pub mod parcel;
pub mod pictures;
pub mod plugin;
pub mod rules;
pub mod session;
pub mod simulator;
pub mod wire;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;

/// Whether two documents say the same. A decimal number does not come back to the last bit.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            a == b
                || a.as_f64()
                    .zip(b.as_f64())
                    .is_some_and(|(a, b)| (a - b).abs() <= a.abs().max(b.abs()) * 1e-12)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

thread_local! {
    static REACHED: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that a target came to where it checks what was read.
fn reach(target: &'static str) {
    REACHED.with_borrow_mut(|reached| reached.insert(target));
}

/// Whether a target came there in this thread: seeds that never do would make a check that cannot fail.
pub fn was_reached(target: &str) -> bool {
    REACHED.with_borrow(|reached| reached.contains(target))
}
