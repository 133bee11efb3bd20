//! Object identifiers and algorithm identifiers of the profiles, as DER elements.

/// id-data, RFC 5652 §4.
pub(crate) const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// id-signedData, RFC 5652 §5.1.
pub(crate) const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// id-ct-authEnvelopedData, RFC 5083 §2.1.
pub(crate) const AUTH_ENVELOPED_DATA: &[u8] =
    &[0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 23];
/// id-contentType, RFC 5652 §11.1.
pub(crate) const CONTENT_TYPE: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
/// id-messageDigest, RFC 5652 §11.2.
pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
/// id-signingTime, RFC 5652 §11.3.
pub(crate) const SIGNING_TIME: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];
/// id-aa-signingCertificateV2, RFC 5035 §3.
pub(crate) const SIGNING_CERTIFICATE_V2: &[u8] =
    &[0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 47];

/// SHA-256 with absent parameters, RFC 5754 §2.2.
pub(crate) const SHA256: &[u8] = &[0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
/// SHA-256 with NULL parameters, which RFC 5754 §2 asks everyone to read.
pub(crate) const SHA256_NULL: &[u8] = &[0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0];
/// ecdsa-with-SHA256, RFC 5754 §3.3.
pub(crate) const ECDSA_SHA256: &[u8] = &[0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey with absent parameters, RFC 5753 §3.1.1.
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x30, 9, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// aes256-GCM, RFC 5084 §3.2, the identifier alone.
pub(crate) const AES256_GCM: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 46];
/// id-aes256-wrap with absent parameters, RFC 3565 §2.3.2.
pub(crate) const AES256_WRAP: &[u8] = &[0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 45];
/// dhSinglePass-stdDH-sha384kdf-scheme, RFC 5753 §7.1.4, the identifier alone.
pub(crate) const STD_DH_SHA384_KDF: &[u8] = &[0x06, 6, 0x2b, 0x81, 4, 1, 11, 2];
