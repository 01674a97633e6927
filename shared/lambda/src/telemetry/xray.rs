//! Sends the calls of an invocation as [subsegments] of its trace, in datagrams to the X-Ray daemon that
//! Lambda runs beside the function. Lambda itself makes the segment that they belong to.
//!
//! [subsegments]: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::report::Call;

/// The first line of each datagram.
///
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon>
const HEADER: &str = r#"{"format": "json", "version": 1}"#;

/// The trace that an invocation is part of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trace<'a> {
    /// `1-{8 hex digits}-{24 hex digits}`.
    root: &'a str,
    /// The segment of the function, 16 hex digits.
    parent: &'a str,
}

impl<'a> Trace<'a> {
    /// Reads a [tracing header], `Root=1-…;Parent=…;Sampled=1`, in any order and with anything else
    /// between. Returns nothing if the trace is not sampled, or the header is
    /// malformed.
    ///
    /// [tracing header]: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    pub(super) fn sampled(header: &'a str) -> Option<Self> {
        let value = |name: &str| {
            let mut parts = header.split(';').filter_map(|part| part.split_once('='));
            parts.find(|(key, _)| key.trim() == name)
        };
        let (_, sampled) = value("Sampled")?;
        let (_, root) = value("Root")?;
        let (_, parent) = value("Parent")?;
        let trace = Self {
            root: root.trim(),
            parent: parent.trim(),
        };
        (sampled.trim() == "1" && trace.is_well_formed()).then_some(trace)
    }

    fn is_well_formed(&self) -> bool {
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let root: Vec<&str> = self.root.split('-').collect();
        matches!(root[..], ["1", time, random] if is_hex(time, 8) && is_hex(random, 24))
            && is_hex(self.parent, 16)
    }
}

/// The daemon.
pub(super) struct Daemon(UdpSocket);

impl Daemon {
    /// Returns the daemon at an address as in `AWS_XRAY_DAEMON_ADDRESS`: `169.254.79.129:2000`, or one for
    /// each protocol, `tcp:127.0.0.1:2000 udp:127.0.0.2:2001`. Returns nothing if it is malformed.
    pub(super) fn at(address: &str) -> Option<Self> {
        let mut addresses = address.split_whitespace();
        let address: SocketAddr = addresses
            .find_map(|address| address.strip_prefix("udp:").unwrap_or(address).parse().ok())?;
        let any_port = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any_port).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.connect(address).ok()?;
        Some(Self(socket))
    }

    /// Sends a call. It is not known whether it arrives.
    pub(super) fn send(&self, trace: &Trace<'_>, call: &Call) {
        let document = document(trace, fastrand::u64(..), call);
        // A lost trace is not worth a log line, let alone a wait.
        let _ = self.0.send(format!("{HEADER}\n{document}").as_bytes());
    }
}

fn document(trace: &Trace<'_>, id: u64, call: &Call) -> Value {
    let start = call.start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut annotations = call.fields.clone();
    let fault = annotations.remove("fault") == Some(Value::Bool(true));
    json!({
        "name": call.name,
        "id": format!("{id:016x}"),
        "trace_id": trace.root,
        "parent_id": trace.parent,
        "type": "subsegment",
        "namespace": "remote",
        "start_time": start.as_secs_f64(),
        "end_time": (start + call.duration).as_secs_f64(),
        "fault": fault,
        "annotations": annotations,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fields::Values;
    use super::*;

    const ROOT: &str = "1-6b02f2a1-0123456789abcdef01234567";
    const PARENT: &str = "53995c3f42cd8ad8";

    #[test]
    fn the_header_of_a_sampled_trace_is_read() {
        let trace = Some(Trace {
            root: ROOT,
            parent: PARENT,
        });
        for header in [
            format!("Root={ROOT};Parent={PARENT};Sampled=1"),
            format!("Root={ROOT};Parent={PARENT};Sampled=1;Lineage=1:a87bd80c:0"),
            format!("Sampled=1; Parent={PARENT}; Self=1-67891234-00; Root={ROOT}"),
        ] {
            assert_eq!(Trace::sampled(&header), trace, "{header}");
        }
    }

    #[test]
    fn a_trace_that_is_not_sampled_or_not_well_formed_is_none() {
        for header in [
            String::new(),
            "Sampled=1".to_owned(),
            format!("Root={ROOT};Parent={PARENT};Sampled=0"),
            format!("Root={ROOT};Parent={PARENT};Sampled=?"),
            format!("Root={ROOT};Parent={PARENT}"),
            format!("Root={ROOT};Sampled=1"),
            format!("Parent={PARENT};Sampled=1"),
            format!("Root={ROOT};Parent=53995c3f42cd8ad;Sampled=1"),
            format!("Root={ROOT};Parent=53995c3f42cd8ad\u{e9};Sampled=1"),
            format!("Root=2{};Parent={PARENT};Sampled=1", &ROOT[1..]),
            format!("Root={ROOT}-00;Parent={PARENT};Sampled=1"),
            format!("{ROOT};{PARENT};1"),
        ] {
            assert_eq!(Trace::sampled(&header), None, "{header}");
        }
    }

    #[test]
    fn a_datagram_is_a_header_line_and_a_subsegment() {
        let call = Call {
            name: "database",
            latency: "DatabaseLatency",
            start: UNIX_EPOCH + Duration::from_millis(1_795_346_103_500),
            duration: Duration::from_millis(250),
            fields: Values::from([
                ("operation", "insert of a message".into()),
                ("fault", true.into()),
            ]),
        };
        let trace = Trace {
            root: ROOT,
            parent: PARENT,
        };
        assert_eq!(
            document(&trace, 0xab, &call),
            json!({
                "name": "database",
                "id": "00000000000000ab",
                "trace_id": ROOT,
                "parent_id": PARENT,
                "type": "subsegment",
                "namespace": "remote",
                "start_time": 1_795_346_103.5,
                "end_time": 1_795_346_103.75,
                "fault": true,
                "annotations": {"operation": "insert of a message"},
            })
        );

        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = receiver.local_addr().expect("an address");
        let daemon = Daemon::at(&format!("tcp:127.0.0.1:1 udp:{address}")).expect("an address");
        daemon.send(&trace, &call);
        let mut datagram = [0; 2_048];
        let length = receiver.recv(&mut datagram).expect("a datagram");
        let datagram = std::str::from_utf8(&datagram[..length]).expect("UTF-8");
        let (header, document) = datagram.split_once('\n').expect("two lines");
        let header: Value = serde_json::from_str(header).expect("JSON");
        assert_eq!(header, json!({"format": "json", "version": 1}));
        let document: Value = serde_json::from_str(document).expect("JSON");
        assert_eq!(document["trace_id"], ROOT);
    }

    #[test]
    fn a_malformed_address_gives_no_daemon() {
        for address in ["", "tcp:127.0.0.1:2000", "daemon", "127.0.0.1"] {
            assert!(Daemon::at(address).is_none(), "{address}");
        }
    }
}
