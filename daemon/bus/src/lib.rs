//! The D-Bus contract: interfaces, proxies, errors.
