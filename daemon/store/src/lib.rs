//! Drafts, states, audit journal, outbox: all that recueild makes durable.
