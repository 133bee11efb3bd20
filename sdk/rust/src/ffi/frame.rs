//! A picture in the host's memory.
#![expect(unsafe_code, reason = "the memory is a C pointer")]

use std::mem::ManuallyDrop;

use recueil_abi as abi;

use super::Host;
use crate::{Error, FingerprintMeta, Format, Kind, Meta, Result, Status, Verdict};

/// One picture in memory that the host owns and shares with its reader. Write each byte once, straight from the
/// device. Dropping it gives the memory back unused; [`Frame::submit`] gives the picture away.
#[derive(Debug)]
pub struct Frame<'a> {
    host: &'a Host,
    req: u64,
    raw: abi::rcl_frame,
    len_bytes: usize,
    row_bytes: usize,
    stride_bytes: usize,
}

// SAFETY: the memory is this frame's alone, and the host's functions may be called from any thread.
unsafe impl Send for Frame<'_> {}

impl<'a> Frame<'a> {
    pub(crate) fn alloc(
        host: &'a Host,
        req: u64,
        kind: Kind,
        format: Format,
        (width, height): (u32, u32),
        capacity: u64,
    ) -> Result<Self> {
        let size = abi::rcl_frame::SIZE;
        let mut raw = abi::rcl_frame {
            size,
            pixfmt: format.0,
            width,
            height,
            capacity,
            ..abi::rcl_frame::ZERO
        };
        host.frame_alloc(req, u32::from(kind), &mut raw)?;
        let mut frame = Self {
            host,
            req,
            raw,
            len_bytes: 0,
            row_bytes: 0,
            stride_bytes: 1,
        };
        frame.measure(format, width, height)?;
        Ok(frame)
    }

    /// Takes the numbers that the host filled only if they agree with each other.
    fn measure(&mut self, format: Format, width: u32, height: u32) -> Result<()> {
        let wrong = || Error::new(Status::FAILED, "the host lent memory that does not fit the frame");
        let len_bytes = usize::try_from(self.raw.capacity).map_err(|_too_large| wrong())?;
        if self.raw.data.is_null() || isize::try_from(len_bytes).is_err() {
            return Err(wrong());
        }
        if let Some(bytes_per_pixel) = format.bytes_per_pixel() {
            let row = u64::from(width) * u64::from(bytes_per_pixel);
            let all = u64::from(self.raw.stride) * u64::from(height);
            if row > u64::from(self.raw.stride) || all > self.raw.capacity {
                return Err(wrong());
            }
            self.row_bytes = usize::try_from(row).map_err(|_too_large| wrong())?;
            self.stride_bytes = usize::try_from(self.raw.stride)
                .map_err(|_too_large| wrong())?
                .max(1);
        }
        self.len_bytes = len_bytes;
        Ok(())
    }

    /// Width in pixels, as asked.
    pub fn width(&self) -> u32 {
        self.raw.width
    }

    /// Height in pixels, as asked.
    pub fn height(&self) -> u32 {
        self.raw.height
    }

    /// Bytes from one row to the next; 0 for compressed formats.
    pub fn stride(&self) -> u32 {
        self.raw.stride
    }

    /// All the memory; what it holds before it is written is not defined, but old pictures are wiped.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the host lent `len_bytes` bytes, to this frame alone, until it is submitted or dropped.
        unsafe { std::slice::from_raw_parts_mut(self.raw.data, self.len_bytes) }
    }

    /// The rows from the top, each of `width` pixels without what pads them. None for compressed formats.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let (row_bytes, stride_bytes) = (self.row_bytes, self.stride_bytes);
        let rows = if row_bytes == 0 {
            0
        } else {
            usize::try_from(self.raw.height).unwrap_or(0)
        };
        self.bytes_mut()
            .chunks_mut(stride_bytes)
            .take(rows)
            .filter_map(move |row| row.get_mut(..row_bytes))
    }

    /// How many bytes are valid: needed for compressed formats only.
    ///
    /// # Errors
    /// `INVALID` for more than the memory holds.
    pub fn set_used(&mut self, used: usize) -> Result<()> {
        if used > self.len_bytes {
            return Err(Error::new(Status::INVALID, "more bytes than the frame holds"));
        }
        self.raw.used = u64::try_from(used).unwrap_or(0);
        Ok(())
    }

    /// Gives the picture away.
    ///
    /// # Errors
    /// `INVALID` if `meta` is out of range (more than 16 segments, a quality above 100, an attack score above
    /// 1000) or the host does not accept the frame. The memory is given back in every case.
    pub fn submit(self, meta: &Meta) -> Result<()> {
        meta.check()?;
        let mut this = ManuallyDrop::new(self);
        if this.raw.used == 0 {
            this.raw.used = u64::from(this.raw.stride) * u64::from(this.raw.height);
        }
        let segments: Vec<abi::rcl_fp_segment> = meta
            .fingerprint
            .iter()
            .flat_map(|meta| &meta.segments)
            .map(|segment| (*segment).into())
            .collect();
        let fingerprint = meta
            .fingerprint
            .as_ref()
            .map(|meta| fingerprint_part(meta, &segments));
        let raw_meta = abi::rcl_meta {
            size: abi::rcl_meta::SIZE,
            ppi_x_milli: meta.ppi_x_milli,
            ppi_y_milli: meta.ppi_y_milli,
            sequence: meta.sequence,
            page: meta.page,
            flags: 0,
            t_ns: if meta.time_ns == 0 {
                this.host.now_ns()
            } else {
                meta.time_ns
            },
            next: fingerprint
                .as_ref()
                .map_or(std::ptr::null(), |part| (&raw const *part).cast()),
        };
        let (host, req) = (this.host, this.req);
        // SAFETY: this frame is not used again and its drop does not run; the meta's parts live until here.
        unsafe { host.frame_submit(req, &mut this.raw, &raw_meta) }
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        // SAFETY: the frame was neither submitted nor dropped before.
        unsafe { self.host.frame_drop(&mut self.raw) };
    }
}

fn fingerprint_part(meta: &FingerprintMeta, segments: &[abi::rcl_fp_segment]) -> abi::rcl_fp_meta {
    let size = abi::rcl_fp_meta::SIZE;
    abi::rcl_fp_meta {
        h: abi::rcl_struct {
            size,
            type_: abi::RCL_TYPE_FP_META,
            next: std::ptr::null(),
        },
        position: meta.position.map_or(0, |finger| u32::from(finger.code())),
        impression: 0,
        nsegments: u32::try_from(segments.len()).unwrap_or(0),
        pad_score: meta.pad_score.unwrap_or(abi::RCL_FP_PAD_SCORE_NONE),
        pad_verdict: match meta.pad_verdict {
            None => abi::RCL_FP_PAD_NONE,
            Some(Verdict::Genuine) => abi::RCL_FP_PAD_GENUINE,
            Some(Verdict::Attack) => abi::RCL_FP_PAD_ATTACK,
        },
        reserved: 0,
        segments: if segments.is_empty() {
            std::ptr::null()
        } else {
            segments.as_ptr()
        },
    }
}
