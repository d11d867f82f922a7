//! The bounds of the GGUF reader. Real files stay far below each of them.

/// Most bytes that the header may span (metadata and tensor list). The largest vocabularies take about 20 MiB.
pub const METADATA_BYTES_MAX: u64 = 64 << 20;
/// Most metadata entries.
pub const KEYS_MAX: u64 = 65_536;
/// Longest metadata key in bytes.
pub const KEY_BYTES_MAX: u64 = 65_535;
/// Most tensors.
pub const TENSORS_MAX: u64 = 65_536;
/// Longest tensor name in bytes.
pub const NAME_BYTES_MAX: u64 = 64;
/// Most dimensions of a tensor.
pub const DIMS_MAX: u32 = 4;
/// Longest text value, in bytes. Chat templates reach some 20 KiB.
pub const TEXT_BYTES_MAX: u64 = 16 << 20;
/// Most elements of an array value. The largest vocabularies hold about 300,000 tokens and 600,000 merges.
pub const ARRAY_LEN_MAX: u64 = 8 << 20;
/// Largest alignment of the tensor data, in bytes; it must be a power of two.
pub const ALIGNMENT_MAX: u64 = 1 << 16;
/// Alignment when the file names none.
pub const ALIGNMENT_DEFAULT: u64 = 32;
