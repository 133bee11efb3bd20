//! What a vendor's plugin says.

use crate::{Result, le, put};

pub(crate) fn write() -> Result {
    let words = |numbers: &[u32]| {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    // One part with one segment; then the sizes as they should be.
    let segment = [2, 1, 2, 30, 40, 0, 80, 0];
    let meta = [&[1, 0, 1, 1], segment.as_slice(), &[2, 13, 0, 300, 1, 0, 0, 2]].concat();
    put("plugin-meta", "one", &words(&meta))?;
    put(
        "plugin-meta",
        "ring",
        &words(&[
            2, 1, 1, 0, 2, 13, 0, 300, 1, 0, 0, 1, 0, 2, 13, 0, 300, 1, 0, 0, 2,
        ]),
    )?;
    let abilities = words(&[1, 1600, 1500, 500_000, 2, 1, 30_000, 1, 10, 4, 0, 40]);
    put(
        "plugin-words",
        "reader",
        &[
            abilities,
            le(&[4]),
            b"text".to_vec(),
            le(&[4]),
            b"gain".to_vec(),
            words(&[2]),
            vec![0, 255],
        ]
        .concat(),
    )?;
    Ok(())
}
