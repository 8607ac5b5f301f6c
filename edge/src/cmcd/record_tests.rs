use proptest::prelude::*;

use super::*;

/// What players sent when a title of two renditions was played, with a standstill in the middle: hls.js 1.7.4 and Shaka
/// Player 5.2.12, in Chromium.
const HLS_JS_V1_START: &str = "CMCD=bl%3D0%2Cbr%3D366%2Ccid%3D%22news%22%2Cd%3D2000%2Cdl%3D0%2Cmtp%3D500%2Cnor%3D%22chunk-stream0-00002.m4s%22%2Cot%3Dv%2Crtp%3D1800%2Csf%3Dh%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv%2Csu";
const HLS_JS_V1_STARVED: &str = "CMCD=bl%3D2000%2Cbr%3D366%2Cbs%2Ccid%3D%22news%22%2Cd%3D2000%2Cdl%3D2000%2Cmtp%3D200%2Cnor%3D%22chunk-stream0-00006.m4s%22%2Cot%3Dv%2Crtp%3D1800%2Csf%3Dh%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv%2Csu";
const HLS_JS_V1_PLAYLIST: &str = "CMCD=br%3D366%2Ccid%3D%22news%22%2Cmtp%3D500%2Cot%3Dm%2Csf%3Dh%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Csu";
const HLS_JS_V2: &str = "CMCD=bl%3D%284000%29%2Cbr%3D%28366%29%2Cd%3D2000%2Cdl%3D4000%2Cmtp%3D%2813200%29%2Cnor%3D%28%22chunk-stream0-00004.m4s%22%29%2Cot%3Dv%2Cpb%3D%28366.106%29%2Crtp%3D1800%2Csf%3Dh%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Csn%3D8%2Cst%3Dv%2Csta%3Dp%2Ctpb%3D%28366.106%29%2Cv%3D2";
const SHAKA_V1: &str = "CMCD=br%3D64%2Ccid%3D%22news%22%2Cd%3D1997%2Cdl%3D0%2Cnor%3D%22chunk-stream1-00002.m4s%22%2Cot%3Da%2Crtp%3D1300%2Csf%3Dd%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv%2Csu%2Ctb%3D64";
const SHAKA_V2: &str = "CMCD=bl%3D4000%2Cbr%3D300%2Ccid%3D%22news%22%2Cd%3D2000%2Cdl%3D4000%2Cmsd%3D113%2Cnor%3D%28%22chunk-stream0-00004.m4s%22%29%2Cot%3Dv%2Crtp%3D800%2Csf%3Dd%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Csn%3D7%2Cst%3Dv%2Ctb%3D300%2Cv%3D2";

fn of_query(query: &str) -> Result<Option<Record>, Malformed> {
    of_request(&format!("/live/acme/news/1.m4s?{query}").parse().unwrap(), &HeaderMap::new())
}

fn of_headers(pairs: &[(&'static str, &str)]) -> Result<Option<Record>, Malformed> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    of_request(&"/live/acme/news/1.m4s".parse().unwrap(), &headers)
}

/// A record of a picture's segment.
fn picture(kbps: u64, buffer_ms: Option<u64>, throughput_kbps: Option<u64>) -> Record {
    Record {
        kind: Some(Kind::Video),
        bitrate_kbps: Some(kbps),
        duration_ms: Some(2000),
        buffer_ms,
        throughput_kbps,
        ..Record::default()
    }
}

#[test]
fn queries_of_players_are_read() {
    let start = Record { urgent: true, ..picture(366, Some(0), Some(500)) };
    for (query, expected) in [
        (HLS_JS_V1_START, start),
        (HLS_JS_V1_STARVED, Record { urgent: true, starved: true, ..picture(366, Some(2000), Some(200)) }),
        (
            HLS_JS_V1_PLAYLIST,
            Record {
                kind: Some(Kind::Other),
                urgent: true,
                bitrate_kbps: Some(366),
                throughput_kbps: Some(500),
                ..Record::default()
            },
        ),
        (HLS_JS_V2, Record { is_v2: true, state: Some(State::Playing), ..picture(366, Some(4000), Some(13200)) }),
        (
            SHAKA_V1,
            Record { kind: Some(Kind::Audio), urgent: true, duration_ms: Some(1997), ..picture(64, None, None) },
        ),
        (SHAKA_V2, Record { is_v2: true, start_ms: Some(113), ..picture(300, Some(4000), None) }),
    ] {
        assert_eq!(of_query(query), Ok(Some(expected)), "{query}");
    }
}

#[test]
fn the_standards_own_examples_are_read() {
    let sid = "sid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22";
    let all = Record {
        kind: Some(Kind::Video),
        starved: true,
        bitrate_kbps: Some(3200),
        duration_ms: Some(4004),
        throughput_kbps: Some(25400),
        ..Record::default()
    };
    for (query, expected) in [
        (format!("CMCD={sid}"), Record::default()),
        (
            format!("CMCD=br%3D3200%2Cbs%2Cd%3D4004%2Cmtp%3D25400%2Cot%3Dv%2Crtp%3D15000%2C{sid}%2Ctb%3D6000"),
            all.clone(),
        ),
        (format!("token=x&CMCD=bs%2Crtp%3D15000%2C{sid}&y"), Record { starved: true, ..Record::default() }),
        ("CMCD=bs%2Csu".to_owned(), Record { starved: true, urgent: true, ..Record::default() }),
        (
            "CMCD=d%3D4004%2Ccom.example-myNumericKey%3D500%2Ccom.example-myStringKey%3D%22myStringValue%22".to_owned(),
            Record { duration_ms: Some(4004), ..Record::default() },
        ),
        (
            "CMCD=nor%3D%22..%252F300kbps%252Fsegment35.m4v%22%2Csu".to_owned(),
            Record { urgent: true, ..Record::default() },
        ),
        // Version 2: lists tell media apart; spaces come as `+` or `%20`.
        (
            "CMCD=br%3D%28128%3Ba+5000%3Bv%29%2Cot%3Dv%2Cv%3D2".to_owned(),
            Record { is_v2: true, kind: Some(Kind::Video), bitrate_kbps: Some(5000), ..Record::default() },
        ),
        (
            "CMCD=br%3D%28128%3Ba%205000%3Bv%29%2Cot%3Da%2Cv%3D2".to_owned(),
            Record { is_v2: true, kind: Some(Kind::Audio), bitrate_kbps: Some(128), ..Record::default() },
        ),
        (
            "CMCD=bsd%3D%28900%20100%3Ba%29%2Cmsd%3D750%2Cv%3D2".to_owned(),
            Record { is_v2: true, start_ms: Some(750), stood_ms: vec![900, 100], ..Record::default() },
        ),
    ] {
        assert_eq!(of_query(&query), Ok(Some(expected)), "{query}");
    }
    let headers = [
        ("cmcd-request", "mtp=25400"),
        ("cmcd-object", "br=3200,d=4004,ot=v,tb=6000"),
        ("cmcd-status", "bs,rtp=15000"),
        ("cmcd-session", "sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\""),
    ];
    assert_eq!(of_headers(&headers), Ok(Some(all)));
    assert_eq!(of_headers(&[("cmcd-request", "mtp=(")]), Err(Malformed));
    assert_eq!(of_headers(&[("range", "bytes=0-")]), Ok(None));
    assert_eq!(of_query("token=x&cmcd=bs"), Ok(None));
}

#[test]
fn headers_of_players_are_read() {
    let pairs = [
        ("cmcd-status", "bs,rtp=1800"),
        ("cmcd-object", "br=366,d=2000,ot=v"),
        ("cmcd-session", "sf=h,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\",st=v"),
        ("cmcd-request", "bl=2000,dl=2000,mtp=200,nor=\"chunk-stream0-00006.m4s\",su"),
    ];
    let expected = Record { urgent: true, starved: true, ..picture(366, Some(2000), Some(200)) };
    assert_eq!(of_headers(&pairs), Ok(Some(expected)));
}

#[test]
fn reports_of_players_are_read_line_by_line() {
    // hls.js 1.7.4 with a batch of three, then Shaka Player 5.2.12.
    let body = "bl=(0),br=(366),e=ps,mtp=(7100),sf=h,sid=\"6e2fb550\",sn=8,st=v,sta=p,ts=1795999063838,v=2\n\
                bl=(6000),br=(366),e=t,mtp=(18200),sf=h,sid=\"6e2fb550\",sn=16,st=v,sta=r,ts=1795999072598,v=2\n\
                not=(a\n\
                br=(366),mtp=(500),v=2\n\n\
                br=(364),cid=\"news\",e=rr,msd=113,rc=200,sf=d,sid=\"6e2fb550\",sn=5,st=v,ts=1795999158633,ttfb=7,ttlb=12,\
                url=\"http://127.0.0.1:43585/chunk-stream1-00002.m4s\",v=2\n\
                e=e,ec=(\"3016\"),sta=f,ts=1,v=2\r\n";
    let found: Vec<_> = of_report(body.as_bytes()).collect();
    let v2 = Record { is_v2: true, ..Record::default() };
    let first = Record {
        bitrate_kbps: Some(366),
        buffer_ms: Some(0),
        throughput_kbps: Some(7100),
        state: Some(State::Playing),
        event: Some(Event::Other),
        at_ms: Some(1_795_999_063_838),
        ..v2.clone()
    };
    let second = Record {
        bitrate_kbps: Some(366),
        buffer_ms: Some(6000),
        throughput_kbps: Some(18200),
        state: Some(State::Rebuffering),
        event: Some(Event::Other),
        at_ms: Some(1_795_999_072_598),
        ..v2.clone()
    };
    let third = Record {
        bitrate_kbps: Some(364),
        start_ms: Some(113),
        event: Some(Event::Response),
        at_ms: Some(1_795_999_158_633),
        ..v2.clone()
    };
    let fourth = Record { state: Some(State::Failed), event: Some(Event::Error), at_ms: Some(1), ..v2 };
    assert_eq!(found, [Ok(first), Ok(second), Err(Malformed), Err(Malformed), Ok(third), Ok(fourth)]);
    assert_eq!(of_report("e=t,v=2\n".repeat(LINES_MAX + 9).as_bytes()).count(), LINES_MAX);
}

#[test]
fn what_is_beyond_reason_is_left_out() {
    for told in
        ["br=0", "br=1000001", "d=3600001", "bl=-1", "mtp=100000001", "msd=3600001", "bsd=(3600001)", "br=\"1\""]
    {
        assert_eq!(of_headers(&[("cmcd-object", told)]), Ok(Some(Record::default())), "{told}");
    }
    for query in ["CMCD=%", "CMCD=%2", "CMCD=%zz", "CMCD=%ff", "CMCD=a%0A"] {
        assert_eq!(of_query(query), Err(Malformed), "{query}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(query in "[ -~]{0,100}", body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(uri) = format!("/x?CMCD={query}").parse() {
            let _ = of_request(&uri, &HeaderMap::new());
        }
        prop_assert!(of_report(&body).count() <= LINES_MAX);
    }
}
