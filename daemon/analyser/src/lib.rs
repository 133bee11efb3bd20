//! recueil-analyser: one capture session around recueil-capture.
