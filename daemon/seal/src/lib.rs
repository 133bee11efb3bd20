//! Dossier to Parcel; verifies receipts.
