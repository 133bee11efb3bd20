//! recueild: wires the stages together.
