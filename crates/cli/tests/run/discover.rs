//! `discover`: do the results of other tools count, alone and beside a scope?

use directive::record::InstanceState;

use super::*;

#[test]
fn a_table_alone_is_counted_and_nothing_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("list.csv");
    std::fs::write(&table, "Where,Software,Build\n192.0.2.7:443,Pulse Connect Secure,9.1R8\n192.0.2.8,,\n").unwrap();
    let columns = "address=Where,product=Software,version=Build";
    let output = run(&["discover", "--json", "--pack", "ed-21-03", "--import", arg(&table), "--columns", columns]);
    let records = records(&output);
    let instance = records.iter().find_map(|record| match &record.body {
        Body::Instance(instance) => Some(instance),
        _ => None,
    });
    let instance = instance.unwrap_or_else(|| panic!("{}", stdout(&output)));
    assert_eq!((instance.name.as_str(), instance.state), ("192.0.2.7:443", InstanceState::Imported));
    assert_eq!(instance.version.value.as_deref(), Some("9.1R8"));
    let ledger = records.iter().find_map(|record| match &record.body {
        Body::Ledger(ledger) => Some(ledger),
        _ => None,
    });
    assert!(ledger.is_some_and(|ledger| (ledger.connections, ledger.imported) == (0, 1)));
    assert_eq!(output.status.code(), Some(1), "an affected instance is known");
    let text = stdout(&run(&["discover", "--pack", "ed-21-03", "--import", arg(&table), "--columns", columns]));
    assert!(text.contains("1 more known by import only"), "{text}");
}

#[test]
fn a_file_of_no_known_tool_and_a_column_that_is_not_there_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "hello\n").unwrap();
    let output = run(&["discover", "--pack", "ed-21-03", "--import", arg(&file)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--columns address=NAME"), "{}", stderr(&output));
    let output = run(&["discover", "--pack", "ed-21-03", "--import", arg(&file), "--columns", "where=x"]);
    assert!(stderr(&output).contains("is none of address"), "{}", stderr(&output));
    assert!(stderr(&run(&["discover", "--pack", "ed-21-03"])).contains("--scope"), "one of them is needed");
}
