//! The QR code of a pré-demande on a scanned page.

mod pre_demande;

pub use pre_demande::pre_demande;
