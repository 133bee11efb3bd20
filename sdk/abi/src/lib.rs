//! The repr(C) mirror of recueil_plugin.h.
