//! Compression of message bodies, which sysFlag tells the type of, and of registrations.

use std::io::{Read, Write};

/// Bit of sysFlag: the body is compressed.
pub const SYS_FLAG_COMPRESSED: i32 = 0x1;
/// Bits of sysFlag that tell the type.
pub const SYS_FLAG_COMPRESSION: i32 = 0x700;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// LZ4 in its frame format.
    Lz4,
    Zstd,
    /// RFC 1950; the only type before 5.0, which sends no type bits.
    Zlib,
}

impl Compression {
    /// The type that the bits of `sys_flag` name; `None` for a number that has no type. The bit that says whether the
    /// body is compressed at all is not looked at.
    #[must_use]
    pub fn of_sys_flag(sys_flag: i32) -> Option<Self> {
        match sys_flag & SYS_FLAG_COMPRESSION {
            0 | 0x300 => Some(Compression::Zlib),
            0x100 => Some(Compression::Lz4),
            0x200 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// The bits of sysFlag for a body of this type.
    #[must_use]
    pub fn sys_flag(self) -> i32 {
        let kind = match self {
            Compression::Lz4 => 0x100,
            Compression::Zstd => 0x200,
            Compression::Zlib => 0x300,
        };
        SYS_FLAG_COMPRESSED | kind
    }
}

/// Why bytes cannot be inflated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    #[error("broken {kind:?} data: {reason}")]
    Broken { kind: Compression, reason: String },
    #[error("more than {bytes_max} bytes once inflated")]
    TooLong { bytes_max: usize },
}

/// Compresses `body`. `level` is that of zlib (0 to 9) and zstd (1 to 22); it is brought into the type's range, and
/// LZ4 has none.
#[must_use]
pub fn compress(kind: Compression, body: &[u8], level: i32) -> Vec<u8> {
    let written = match kind {
        Compression::Zlib => {
            let level = flate2::Compression::new(level.clamp(0, 9) as u32);
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(body).and_then(|()| encoder.finish().map_err(Into::into))
        }
        Compression::Zstd => zstd::bulk::compress(body, level.clamp(1, 22)),
    };
    written.unwrap_or_else(|error| unreachable!("compressing into memory: {error}"))
}

/// Inflates `body` to at most `bytes_max` bytes. What follows the end of the stream is not looked at, and LZ4 data that
/// is cut off between two of its blocks passes for whole.
///
/// # Errors
/// [`CompressionError`] when the data is broken, cut off or longer than allowed.
pub fn decompress(kind: Compression, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let broken = |error: std::io::Error| CompressionError::Broken { kind, reason: error.to_string() };
    if body.is_empty() {
        return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let mut inflated = Vec::new();
    // One byte more than allowed tells a body that is too long from one that just fits.
    let most = bytes_max as u64 + 1;
    let read = match kind {
        Compression::Zlib => flate2::read::ZlibDecoder::new(body).take(most).read_to_end(&mut inflated),
        Compression::Lz4 => lz4_flex::frame::FrameDecoder::new(body).take(most).read_to_end(&mut inflated),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
            decoder.single_frame().take(most).read_to_end(&mut inflated)
        }
    };
    let length = read.map_err(broken)?;
    if length > bytes_max {
        return Err(CompressionError::TooLong { bytes_max });
    }
    Ok(inflated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Compression; 3] = [Compression::Lz4, Compression::Zstd, Compression::Zlib];

    #[test]
    fn sys_flag_tells_the_type() {
        for kind in KINDS {
            assert_eq!(Compression::of_sys_flag(kind.sys_flag()), Some(kind));
        }
        assert_eq!(Compression::of_sys_flag(SYS_FLAG_COMPRESSED), Some(Compression::Zlib));
        assert_eq!(Compression::of_sys_flag(0x401), None);
        assert_eq!(Compression::Zlib.sys_flag(), 0x301);
    }

    #[test]
    fn the_limit_holds() {
        let body = vec![7; 100_000];
        for kind in KINDS {
            let packed = compress(kind, &body, 5);
            assert!(packed.len() < 2_000);
            assert_eq!(decompress(kind, &packed, body.len()).as_deref(), Ok(body.as_slice()));
            let error = decompress(kind, &packed, body.len() - 1).unwrap_err();
            assert_eq!(error, CompressionError::TooLong { bytes_max: body.len() - 1 });
        }
    }

    #[test]
    fn cut_off_data_is_an_error_or_shorter() {
        let body = b"a body that is long enough to be cut";
        for kind in KINDS {
            let packed = compress(kind, body, 5);
            for length in 0..packed.len() - 4 {
                match decompress(kind, &packed[..length], 1_000) {
                    Ok(inflated) => {
                        assert!(kind == Compression::Lz4 && inflated.len() < body.len(), "{kind:?} {length}")
                    }
                    Err(error) => assert!(matches!(error, CompressionError::Broken { .. })),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(body in prop::collection::vec(any::<u8>(), 0..400), level in 0..23) {
            for kind in KINDS {
                prop_assert_eq!(&decompress(kind, &compress(kind, &body, level), 400).unwrap(), &body);
            }
        }

        #[test]
        fn any_bytes_are_a_body_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for kind in KINDS {
                let _ = decompress(kind, &bytes, 1_000);
            }
        }
    }
}
