//! Nmap: what does the XML of nmap say?
//!
//! The document type is never loaded and entities of its own are never expanded. UDP ports are passed over: what nmap
//! calls open there is often only silent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::ask::Certificate;

use super::{Claim, Collector, Kind, Port, Wrong};

/// Reads the whole document.
pub(super) fn read(bytes: &[u8], out: &mut Collector<'_>) -> Result<(), Wrong> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let mut host = Host::default();
    let mut is_nmap = false;
    loop {
        let at = reader.buffer_position();
        let wrong = |problem: String| {
            let kind = is_nmap.then_some(Kind::Nmap);
            Wrong { kind, place: format!("byte {at}"), problem }
        };
        match reader.read_event().map_err(|err| wrong(format!("the XML is broken: {err}")))? {
            Event::Start(element) => {
                let is_first = !std::mem::replace(&mut is_nmap, true);
                if is_first && element.name().as_ref() != "nmaprun" {
                    return Err(Wrong::other("it is XML, and its first element is not `nmaprun`"));
                }
                host.start(&element);
            }
            Event::End(element) => match element.name().as_ref() {
                "cpe" => host.is_cpe = false,
                "elem" => host.end_pem(),
                "port" => host.end_port(),
                "host" => std::mem::take(&mut host).end(out),
                "nmaprun" => return Ok(()),
                _ => {}
            },
            Event::Text(text) if host.is_cpe => {
                host.port.iter_mut().for_each(|port| port.cpe.push(text.xml10_content().into_owned()));
            }
            Event::Text(text) if host.pem.is_some() => {
                host.pem.iter_mut().for_each(|pem| pem.push_str(&text.xml10_content()));
            }
            // A scan that was interrupted ends in the middle: what was told until then counts.
            Event::Eof if is_nmap => {
                host.end(out);
                return Err(Wrong::at(Kind::Nmap, "its end", "the file breaks off: the scan did not come to its end"));
            }
            Event::Eof => return Err(Wrong::other("it is XML without any element")),
            _ => {}
        }
    }
}

/// One host, while it is read.
#[derive(Default)]
struct Host {
    base: Option<Claim>,
    at: Option<Timestamp>,
    names: Vec<String>,
    is_tcp: bool,
    is_cpe: bool,
    /// The certificate, while it is read.
    pem: Option<String>,
    port: Option<Claim>,
    ports: Vec<Claim>,
    strange: u64,
}

impl Host {
    fn start(&mut self, element: &BytesStart<'_>) {
        let value = |name: &str| attribute(element, name);
        match element.name().as_ref() {
            "host" => {
                self.at =
                    value("endtime").and_then(|text| text.parse().ok()).and_then(|s| Timestamp::from_second(s).ok());
            }
            "address" if value("addrtype").is_none_or(|kind| kind != "mac") => {
                match value("addr").and_then(|text| text.parse().ok()) {
                    // A host of several addresses gives the one that was scanned first.
                    Some(address) => _ = self.base.get_or_insert_with(|| Claim::of(address)),
                    None => self.strange += 1,
                }
            }
            "hostname" => self.names.extend(value("name")),
            "port" => {
                self.is_tcp = value("protocol").is_none_or(|protocol| protocol == "tcp");
                let number = value("portid").and_then(|text| text.parse().ok());
                self.port = number.zip(self.base.clone()).map(|(number, base)| Claim { port: Some(number), ..base });
                self.strange += u64::from(self.port.is_none());
            }
            _ => self.inside(element),
        }
    }

    /// What stands inside a port.
    fn inside(&mut self, element: &BytesStart<'_>) {
        let Some(port) = &mut self.port else { return };
        let value = |name: &str| attribute(element, name);
        match element.name().as_ref() {
            "state" => {
                port.state = match value("state").as_deref() {
                    Some("open") => Port::Open,
                    Some("closed") => Port::Closed,
                    _ => Port::Filtered,
                };
            }
            "service" => {
                port.product = value("product");
                port.version = value("version");
                port.names.extend(value("hostname"));
            }
            "cpe" => self.is_cpe = true,
            "elem" if value("key").is_some_and(|key| key == "pem") => self.pem = Some(String::new()),
            "script" => {
                let output = value("output").unwrap_or_default();
                match value("id").as_deref() {
                    Some("http-title") => port.texts.extend(title(&output).map(|title| ("html_title", title))),
                    Some("http-server-header") => port.texts.push(("http_header.server", line(&output))),
                    Some("banner") => port.texts.extend(banner(&output).map(|text| ("ssh.banner", text))),
                    Some("ssl-cert") => certificate(port, &output),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The certificate itself, which the script `ssl-cert` keeps: what it holds we read as our own.
    fn end_pem(&mut self) {
        let (Some(pem), Some(port)) = (self.pem.take(), &mut self.port) else { return };
        // Its line ends and most dashes are references, which come as events of their own; base64 has no dash.
        let inside = pem.split('-').max_by_key(|part| part.len()).unwrap_or_default();
        let text: String = inside.chars().filter(|c| !c.is_whitespace()).collect();
        let Some(read) = STANDARD.decode(text).ok().and_then(|der| Certificate::read(&der)) else { return };
        port.certificate_key = Some(read.key);
        port.certificate_names = read.names.into_iter().collect();
        port.texts.push(("x509.subject", read.subject));
        port.texts.push(("x509.issuer", read.issuer));
    }

    fn end_port(&mut self) {
        if self.is_tcp {
            self.ports.extend(self.port.take());
        }
        self.port = None;
    }

    fn end(self, out: &mut Collector<'_>) {
        out.strange += self.strange;
        let Some(base) = self.base else { return };
        let more = |mut claim: Claim| {
            claim.at = self.at;
            claim.names.extend(self.names.iter().cloned());
            claim
        };
        if self.ports.is_empty() && !self.names.is_empty() {
            out.claim(more(base));
        }
        self.ports.into_iter().for_each(|port| out.claim(more(port)));
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    // An entity that is none of the five of XML stays unexpanded, and the value unread.
    let value = attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0).ok()?;
    Some(value.into_owned())
}

/// The first line that says something.
fn line(output: &str) -> String {
    output.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// `Site doesn't have a title (text/html).` is nmap's own word.
fn title(output: &str) -> Option<String> {
    let title = line(output);
    let is_none =
        title.is_empty() || title.starts_with("Site doesn't have a title") || title.starts_with("Did not follow");
    (!is_none).then_some(title)
}

fn banner(output: &str) -> Option<String> {
    line(output).strip_prefix("SSH-2.0-").map(str::to_owned)
}

/// `Subject: commonName=vpn.example/organizationName=...`, `Subject Alternative Name: DNS:vpn.example, DNS:...`.
fn certificate(port: &mut Claim, output: &str) {
    for line in output.lines() {
        if let Some(subject) = line.strip_prefix("Subject: ") {
            let common = subject.split('/').find_map(|part| part.strip_prefix("commonName="));
            port.names.extend(common.map(str::to_owned));
        } else if let Some(names) = line.strip_prefix("Subject Alternative Name: ") {
            port.names.extend(names.split(", ").filter_map(|name| name.strip_prefix("DNS:")).map(str::to_owned));
        }
    }
}
