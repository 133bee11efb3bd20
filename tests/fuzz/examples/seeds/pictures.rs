//! Pictures as the analyser gets them, drawn from few bytes, and files of pictures.

use std::fs;

use crate::{Result, le, put, root, tool};

pub(crate) fn write() -> Result {
    drawn()?;
    files()
}

fn drawn() -> Result {
    // Task; expect try 1 of a right slap; a frame for it; finished; keep one; preview; unused; raw.
    let frame = |index: u8| {
        [
            &[6, index],
            le(&[39, 39]).as_slice(),
            &[0, 0, 9],
            // Ten white rows of forty: something is on the page.
            &le(&[400]),
            &[255; 400],
            &[1],
        ]
        .concat()
    };
    let story = |task: u8, position: u8| {
        [
            vec![task, 5, 1, 1, position, 1],
            frame(1),
            frame(0),
            vec![3, 1, 1, 4, 0, 1, 0, 0, 8, 2],
        ]
        .concat()
    };
    for (task, place) in [(0, 0), (1, 3), (2, 3), (3, 3)] {
        put("analyser-session", &format!("task-{task}"), &story(task, place))?;
    }
    let raw = [
        vec![0, 9],
        le(&[2]),
        b"{}".to_vec(),
        vec![0],
        le(&[14]),
        br#"{"type":"end"}"#.to_vec(),
    ]
    .concat();
    put("analyser-session", "raw", &raw)?;

    // Width, height, format, stride, ppi, no lies, no segments; honest; ground; shapes.
    let head = |width: u16, height: u16, ppi: u8, ground: u8| {
        [
            le(&[width - 1, height - 1]),
            vec![0],
            le(&[0]),
            vec![ppi, 0, 0, 0, 0, ground],
        ]
        .concat()
    };
    let shape = |x: u16, y: u16, half_width: u16, half_height: u16, turn: u8, level: u8, period: u8| {
        [le(&[x, y, half_width, half_height]), vec![turn, level, period]].concat()
    };
    // At 75 ppi a print is 103×133 pixels.
    for (name, turn) in [("straight", 0), ("turned", 7), ("tilted", 30)] {
        let print = [
            head(240, 260, 0, 252),
            vec![1],
            shape(120, 130, 51, 66, turn, 90, 0),
        ]
        .concat();
        put("face", name, &print)?;
    }
    let two = [
        head(320, 260, 0, 30),
        vec![2],
        shape(80, 130, 51, 66, 0, 200, 0),
        shape(240, 130, 51, 66, 2, 220, 0),
    ]
    .concat();
    put("face", "two", &two)?;
    put("face", "empty", &head(200, 200, 0, 250))?;
    let text = [
        head(300, 300, 0, 250),
        vec![2],
        shape(150, 80, 100, 4, 0, 10, 7),
        shape(150, 120, 90, 4, 0, 10, 5),
    ]
    .concat();
    for target in ["document", "barcode"] {
        put(target, "text", &[vec![80], text.clone()].concat())?;
        put(target, "blank", &[vec![80], head(100, 100, 1, 240)].concat())?;
    }
    let ink = [
        head(300, 200, 0, 245),
        vec![2],
        shape(150, 100, 60, 2, 10, 20, 0),
        shape(140, 100, 3, 30, 0, 40, 0),
    ]
    .concat();
    put("signature", "ink", &ink)?;
    put("signature", "blank", &head(100, 100, 0, 245))?;
    put("preview", "half", &[vec![2, 0, 0, 0, 0], text].concat())?;

    // Four boxes side by side on stripes: asked 13, nothing missing.
    let segment = |finger: u8, x: u16| [vec![0, finger], le(&[x, 20, 70, 150, 0]), vec![0, 80]].concat();
    let slap = [
        vec![0, 0],
        le(&[319, 199]),
        vec![0],
        le(&[0]),
        vec![0, 0, 0, 1, 4, 13],
        segment(2, 5),
        segment(3, 82),
        segment(4, 160),
        segment(5, 238),
        vec![0, 255, 1],
        shape(160, 100, 160, 100, 20, 40, 8),
    ]
    .concat();
    put("fingerprint", "slap", &slap)?;
    // Boxes of a slap are too small here to be fingertips; one finger has room.
    let finger = [
        vec![3, 0],
        le(&[319, 259]),
        vec![0],
        le(&[0]),
        vec![0, 0, 0, 1, 1, 0, 0, 2],
        le(&[80, 40, 150, 180, 0]),
        vec![0, 80, 0, 255, 1],
        shape(160, 130, 160, 130, 20, 40, 13),
    ]
    .concat();
    put("fingerprint", "finger", &finger)?;
    put(
        "fingerprint",
        "nothing",
        &[vec![0, 0], head(200, 200, 0, 255)].concat(),
    )?;
    Ok(())
}

fn files() -> Result {
    let png = tool(
        "python3",
        &[
            "-c",
            "import sys,zlib,struct\nc=lambda t,d:struct.pack('>I',len(d))+t+d+struct.pack('>I',zlib.crc32(t+d))\nsys.stdout.buffer.write(b'\\x89PNG\\r\\n\\x1a\\n'+c(b'IHDR',struct.pack('>IIBBBBB',4,3,8,2,0,0,0))+c(b'IDAT',zlib.compress(b''.join(b'\\0'+bytes(range(12)) for _ in range(3))))+c(b'IEND',b''))",
        ],
        b"",
    )?;
    put("images", "python.png", &png)?;
    put("images", "print.pgm", b"P5\n3 2\n255\n\x01\x02\x03\x04\x05\x06")?;
    let page = recueil_capture::document::Page {
        width: 8,
        height: 8,
        ppi: 300,
        picture: recueil_capture::Raster::Rgb(recueil_capture::Rgb::from_fn(8, 8, |x, y| {
            [x, y, 9].map(|level| u8::try_from(level * 9).unwrap_or(0))
        })),
        jpeg_quality: 80,
        criteria: Vec::new(),
    };
    put(
        "images",
        "ours.jpg",
        &recueil_capture::document::encode(&page)?.bytes,
    )?;
    put(
        "images",
        "images.toml",
        &fs::read(root().join("tests/fixtures/images/images.toml"))?,
    )
}
