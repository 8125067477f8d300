//! The fence and the ledger: nothing outside is touched, and the numbers add up.

use std::sync::Mutex;

use super::*;

#[test]
fn an_excluded_address_never_receives_a_connection() {
    let server = Server::at("127.77.255.1:0", |_| {});
    let port = server.at.port();
    let text = format!("networks = [\"127.77.255.0/30\"]\nexclude = [\"127.77.255.1\"]\nports = [{port}]");
    let outcome = find(&["ed-21-03", "openssh-cve-2024-6387"], &scope(&text), &Unwatched);
    assert_eq!((outcome.ledger.addresses, outcome.ledger.excluded, outcome.ledger.refused), (3, 1, 3));
    assert_eq!(server.visits(), 0);
}

#[test]
fn a_redirection_to_another_address_is_not_followed() {
    let elsewhere = Server::start(|_| {});
    let to = elsewhere.at;
    let server = Server::clear(move |mut stream, _| {
        let _ = write!(stream, "HTTP/1.1 302 Found\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n");
    });
    let outcome = find(&["ed-21-03"], &scope_of(server.at), &Unwatched);
    assert_eq!(shown(&outcome), "host=AnsweredUnknown");
    assert_eq!(elsewhere.visits(), 0);
}

#[test]
fn a_redirection_to_the_same_server_is_followed_once() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let server = Server::clear(move |mut stream, request| {
        log.lock().unwrap().push(request.lines().next().unwrap_or_default().to_owned());
        let _ = stream
            .write_all(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    find(&["ed-21-03"], &scope_of(server.at), &Unwatched);
    let asked = asked.lock().unwrap().join(" ").replace(" HTTP/1.1", "");
    // The last one is for neighbours.
    let expected = "GET /dana-na/auth/url_default/welcome.cgi GET /next GET /dana-na/nc/nc_gina_ver.txt GET /next \
                    GET / GET /next";
    assert_eq!(asked, expected);
}

#[test]
fn a_request_names_its_sender_and_asks_for_no_compression() {
    let heard = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&heard);
    let server = Server::clear(move |mut stream, request| {
        log.lock().unwrap().push_str(request);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    find(&["ed-21-03"], &scope_of(server.at), &Unwatched);
    let heard = heard.lock().unwrap().to_lowercase();
    assert!(heard.contains("user-agent: portcullis/0.1.0 (example agency; soc@example.gov)\r\n"), "{heard}");
    assert!(!heard.contains("accept-encoding"), "{heard}");
}

#[test]
fn a_sweep_takes_as_long_as_the_rate_demands() {
    let scope = scope("networks = [\"127.77.252.0/28\"]\nports = [7]\nrate = 20");
    let start = std::time::Instant::now();
    let outcome = find(&[], &scope, &Unwatched);
    // Sixteen connections: the first at once, fifteen more at twenty a second.
    assert!(start.elapsed() >= Duration::from_millis(740), "{:?}", start.elapsed());
    assert_eq!((outcome.ledger.refused, outcome.ledger.connections), (16, 16));
}

#[test]
fn an_address_is_asked_twice_before_it_counts_as_silent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // A queue of one that nobody empties: once it is full, the kernel drops what comes.
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let patience = Duration::from_millis(200);
    let queued: Vec<_> = (0..8).map_while(|_| TcpStream::connect_timeout(&at, patience).ok()).collect();
    assert!(queued.len() < 8);
    let scope = scope_of(at);
    let limits = Limits { connect: patience, ..impatient() };
    let outcome = discover(&Request {
        scope: &scope,
        known: &[],
        imports: &[],
        begin: Begin::default(),
        limits,
        progress: &Unwatched,
    })
    .unwrap();
    assert_eq!((outcome.ledger.silent, outcome.ledger.connections), (1, 2));
    assert_eq!(shown(&outcome), "host=Silent");
}

/// Wants to stop after the first address.
struct Stop(AtomicUsize);

impl Progress for Stop {
    fn expect(&self, _total: u64) {}

    fn advance(&self, _units: u64, _bytes: u64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn stop_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

#[test]
fn a_stopped_run_counts_the_rest_as_not_asked() {
    // At four a second the others would take a minute.
    let scope = scope("networks = [\"127.77.254.0/24\"]\nports = [7]\nrate = 4");
    let outcome = find(&["ed-21-03"], &scope, &Stop(AtomicUsize::new(0)));
    let ledger = &outcome.ledger;
    assert_eq!(ledger.addresses, 256);
    assert!(ledger.not_asked > 240, "{ledger:?}");
    let counted = ledger.answered + ledger.refused + ledger.filtered + ledger.silent + ledger.not_asked;
    assert_eq!(counted, ledger.addresses);
    assert_eq!(shown(&outcome), "address-not-asked");
}
