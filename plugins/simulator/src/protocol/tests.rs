use super::*;

fn picture() -> PictureHeader {
    PictureHeader {
        purpose: Purpose::Result,
        format: Format::Gray8,
        width: 1600,
        height: 1500,
        ppi: 500,
        page: 0,
        position: 13,
        segments: vec![Segment {
            position: 2,
            x: 100,
            y: 200,
            width: 300,
            height: 450,
            angle_milli_deg: -4_500,
            quality: Some(71),
        }],
        attack: Some((12, false)),
    }
}

fn messages() -> Vec<FromDevice> {
    vec![
        FromDevice::Info(Info {
            kind: Kind::Fingerprint,
            vendor: "Recueil".into(),
            model: "fp4".into(),
            serial: "SN0001".into(),
            firmware: "1".into(),
            width_max: 1600,
            height_max: 1500,
            ppi: 500,
            previews: true,
        }),
        FromDevice::Started {
            id: 7,
            fault: Some(Fault::IgnoreCancel),
        },
        FromDevice::Event {
            id: 7,
            event: Event::Fingers { count: 3 },
        },
        FromDevice::Picture {
            id: 7,
            picture: Box::new(picture()),
        },
        FromDevice::Done {
            id: 7,
            failure: Some(Failure {
                code: FailureCode::CoverOpen,
                vendor_code: -3,
            }),
        },
    ]
}

fn json(bytes: &[u8]) -> &[u8] {
    let prelude = bytes[..PRELUDE_BYTES].try_into().unwrap();
    assert_eq!(json_len(prelude).unwrap(), bytes.len() - PRELUDE_BYTES);
    &bytes[PRELUDE_BYTES..]
}

#[test]
fn each_message_reads_back() {
    for message in messages() {
        let bytes = encode(&message).unwrap();
        assert_eq!(decode::<FromDevice>(json(&bytes)).unwrap(), message);
    }
    let request = ToDevice::Capture(Request {
        id: 1,
        format: None,
        deadline_ms: 10_000,
        preview_fps: 10,
        subject: Subject::Fingers {
            position: 13,
            missing: vec![5],
        },
    });
    let bytes = encode(&request).unwrap();
    assert_eq!(decode::<ToDevice>(json(&bytes)).unwrap(), request);
}

#[test]
fn a_length_is_refused_before_memory_is_made_for_it() {
    let prelude = |length: u32| {
        let mut bytes = [0; PRELUDE_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    assert_eq!(json_len(prelude(16 << 10)).unwrap(), HEADER_MAX_BYTES);
    assert!(matches!(
        json_len(prelude((16 << 10) + 1)),
        Err(Malformed::Length(_))
    ));
    assert!(matches!(json_len(prelude(u32::MAX)), Err(Malformed::Length(_))));
    assert!(matches!(json_len(*b"RCV2\0\0\0\0"), Err(Malformed::Magic)));
}

#[test]
fn numbers_out_of_range_are_refused_by_both_ends() {
    let check = |change: fn(&mut PictureHeader)| {
        let mut header = picture();
        change(&mut header);
        let message = FromDevice::Picture {
            id: 1,
            picture: Box::new(header),
        };
        let refused_to_send = encode(&message).is_err();
        let refused_to_read = decode::<FromDevice>(&serde_json::to_vec(&message).unwrap()).is_err();
        assert_eq!(refused_to_send, refused_to_read);
        refused_to_read
    };
    assert!(!check(|_| ()));
    assert!(check(|header| header.width = 0));
    assert!(check(|header| header.height = SIDE_MAX_PX + 1));
    assert!(
        check(|header| (header.width, header.height) = (SIDE_MAX_PX, SIDE_MAX_PX)),
        "a gigabyte of pixels"
    );
    assert!(check(|header| header.position = 11));
    assert!(check(|header| header.segments[0].width = 0));
    assert!(check(|header| header.segments[0].x = i32::MIN));
    assert!(check(|header| header.segments[0].angle_milli_deg = i32::MIN));
    assert!(check(|header| header.segments[0].quality = Some(101)));
    assert!(check(|header| header.segments = vec![header.segments[0]; 17]));
    assert!(check(|header| header.attack = Some((1001, true))));
}

#[test]
fn unknown_words_and_fields_are_refused() {
    let refused = |json: &str| decode::<FromDevice>(json.as_bytes()).is_err();
    assert!(!refused(r#"{"type":"done","id":1,"failure":null}"#));
    assert!(refused(r#"{"type":"done","id":1,"failure":null,"more":1}"#));
    assert!(refused(r#"{"type":"do-this","id":1}"#));
    assert!(refused(r#"{"type":"event","id":1,"event":{"kind":"dance"}}"#));
    assert!(refused("[[[[[[[["));
}

#[test]
fn damaged_messages_are_refused_or_stay_within_the_limits() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state).unwrap() % limit
    };
    let originals: Vec<Vec<u8>> = messages()
        .iter()
        .map(|message| encode(message).unwrap())
        .collect();
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = originals[random(originals.len())].clone();
        for _ in 0..=random(3) {
            let place = random(bytes.len());
            match random(3) {
                0 => bytes[place] ^= 1 << random(8),
                1 => bytes[place] = b"0123456789-{}[]\",:"[random(18)],
                _ => bytes.truncate(place.max(PRELUDE_BYTES)),
            }
        }
        let Ok(length) = json_len(bytes[..PRELUDE_BYTES].try_into().unwrap()) else {
            continue;
        };
        let Some(json) = bytes.get(PRELUDE_BYTES..PRELUDE_BYTES + length) else {
            continue;
        };
        if let Ok(message) = decode::<FromDevice>(json) {
            assert_eq!(message.check(), Ok(()));
            read += 1;
        }
    }
    assert!(read > 100, "some damage leaves a message behind: {read}");
}
