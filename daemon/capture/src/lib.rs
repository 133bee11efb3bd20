//! Frame to Item: pure functions on pixels.
