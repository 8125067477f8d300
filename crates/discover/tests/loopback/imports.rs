//! What other tools know: does it count, and is it told where we disagree?

use directive::record::{Gap, Status};
use lab::Lab;

use super::*;

fn read(name: &str, bytes: &[u8]) -> Import {
    Import::read(name, bytes, &import::Columns::new(), &import::Limits::default()).unwrap()
}

fn beside(imports: &[Import], scope: &Scope) -> Outcome {
    find_beside(imports, impatient(), &["ed-21-03"], scope, &Unwatched)
}

/// The gaps of a code: where, whether they leave the count open, and why.
fn gaps<'o>(outcome: &'o Outcome, code: &str) -> Vec<(&'o str, bool, &'o str)> {
    let of_code = outcome.gaps.iter().map(|(_, gap)| gap).filter(|gap| gap.code == code);
    of_code.map(|gap: &Gap| (gap.place.as_deref().unwrap_or_default(), gap.required, gap.why.as_str())).collect()
}

#[test]
fn what_only_others_saw_is_counted_and_where_we_disagree_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::build(dir.path()).unwrap();
    let [first, ..] = lab.addresses();
    // The network of the first instance: it answers, its neighbours refuse.
    let net = first.ip().to_string();
    let (prefix, last) = net.rsplit_once('.').unwrap();
    let neighbour = |n: u8| format!("{prefix}.{}", last.parse::<u8>().unwrap() + 100 + n);
    let (closed, hidden, nameless) = (neighbour(1), neighbour(2), neighbour(3));
    let port = first.port();
    let text = format!("networks = [\"{net}\", \"{closed}\", \"{hidden}\", \"{nameless}\"]\nports = [{port}]");
    let table = format!(
        "address,port,product,version\n\
         {net},{port},Pulse Connect Secure,9.0R1\n\
         {closed},{port},Pulse Connect Secure,9.1R11.4\n\
         {hidden},8443,Pulse Connect Secure,9.1R8\n\
         {nameless},{port},,\n\
         192.0.2.7,443,Pulse Connect Secure,9.1R8\n\
         broken,,,\n"
    );
    let zone = "$ORIGIN example.org.\nvpn 3600 IN A 192.0.2.9\nold 3600 IN CNAME vpn\n";
    let outcome = beside(&[read("list.csv", table.as_bytes()), read("zone", zone.as_bytes())], &scope(&text));
    let mut found: Vec<_> = outcome
        .instances
        .iter()
        .map(|i| {
            format!("{} {:?} {} {:?}", i.name, i.state, i.version.value.as_deref().unwrap_or("-"), i.version.status)
        })
        .collect();
    found.sort();
    let mut expected = vec![
        format!("{first} Identified 9.1R10 {:?}", Status::Affected),
        format!("{closed}:{port} Imported 9.1R11.4 {:?}", Status::Fixed),
        format!("{hidden}:8443 Imported 9.1R8 {:?}", Status::Affected),
    ];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!((outcome.ledger.addresses, outcome.ledger.imported, outcome.ledger.unaccounted()), (4, 1, 0));
    let disagree = gaps(&outcome, "import-contradicts");
    let about = |place: &str| disagree.iter().find(|(at, ..)| *at == place).copied().unwrap_or_default();
    assert_eq!(disagree.len(), 3, "{disagree:?}");
    let (_, required, why) = about(&first.to_string());
    assert!(!required && why.contains("9.0R1") && why.contains("9.1R10"), "{why}");
    let (_, required, why) = about(&format!("{closed}:{port}"));
    assert!(required && why.contains("it refuses the connection now"), "{why}");
    let (_, required, why) = about("list.csv");
    assert!(required && why.contains("refused") && why.contains(&nameless), "{why}");
    let outside = gaps(&outcome, "import-outside-scope");
    assert_eq!(
        outside.iter().map(|(at, required, _)| (*at, *required)).collect::<Vec<_>>(),
        [("192.0.2.7:443", true), ("list.csv", false), ("zone", false),]
    );
    let [(_, false, names)] = gaps(&outcome, "import-unplaced")[..] else { panic!("{:?}", outcome.gaps) };
    assert!(names.contains("old.example.org") && !names.contains("vpn"), "{names}");
    assert!(matches!(gaps(&outcome, "import-unread")[..], [("list.csv", true, _)]));
}
