//! The virtual devices' own lines.

use crate::{Result, put};

pub(crate) fn write() -> Result {
    for (index, line) in [
        r#"{"command":"next","device":"fp4","presentations":[{"hand":"other","without":["little"],"quality":"poor","lift":"early","wait_ms":5}]}"#,
        r#"{"command":"next","device":"flatbed","presentations":[{"glass":{"kind":"photo","count":"two","lid":"dark","turn_deg":7.5}},{"glass":{"kind":"page","code":"ABC"}}]}"#,
        r#"{"command":"away","device":"fp4","for_ms":100}"#,
        r#"{"command":"await","device":"fp4","until":"idle","timeout_ms":100}"#,
        r#"{"command":"default","device":"cam","presentation":{"fault":"hang","error":"jam"}}"#,
        "fp4:SN0001",
    ]
    .into_iter()
    .enumerate()
    {
        put("scenario", &index.to_string(), line.as_bytes())?;
    }
    for (index, message) in [
        r#"{"type":"capture","id":1,"format":"gray8","deadline_ms":1000,"preview_fps":10,"subject":{"kind":"fingers","position":13,"missing":[7]}}"#,
        r#"{"type":"capture","id":1,"format":null,"deadline_ms":1000,"preview_fps":0,"subject":{"kind":"glass","ppi":300,"area":{"x_um":0,"y_um":0,"width_um":1000,"height_um":1000}}}"#,
        r#"{"type":"picture","id":1,"picture":{"purpose":"result","format":"rgb24","width":10,"height":5,"ppi":500,"page":1,"position":13,"segments":[{"position":2,"x":-1,"y":0,"width":5,"height":5,"angle_milli_deg":5,"quality":80}],"attack":[3,false]}}"#,
        r#"{"type":"event","id":1,"event":{"kind":"progress","permille":500}}"#,
        r#"{"type":"done","id":1,"failure":{"code":"jam","vendor_code":-5}}"#,
        r#"{"type":"info","kind":"camera","vendor":"v","model":"cam","serial":"1","firmware":"1","width_max":10,"height_max":10,"ppi":0,"previews":true}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let len = u32::try_from(message.len())?.to_le_bytes();
        put("virtual-protocol", &index.to_string(), &[b"RCV1", len.as_slice(), message.as_bytes()].concat())?;
    }
    Ok(())
}
