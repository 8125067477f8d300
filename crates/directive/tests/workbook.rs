//! The map of a form to a workbook: every mistake in it is shown with its place.

use directive::pack::{Files, Pack};

const DIRECTIVE: &str = r#"
id = "ed-test"
title = "A directive for tests"
zone = "UTC"
issuer = { name = "Authority" }
[[document]]
id = "ed-test"
issued = "2021-04-20T00:00:00Z"
[[action]]
id = "1"
title = "Count"
clause = "action 1"
"#;

const PRODUCT: &str = "name = \"Gateway\"\nvendor = \"Example\"\n";

const FORM: &str = r#"
title = "Form"
version = "1"
most-rows = 288
[[field]]
id = "agency"
label = "Agency"
[[column]]
id = "8"
label = "8)"
[workbook]
file = "form.xlsx"
sha256 = ["6e391d6dd7d871ea08d3650eeaf514658d8a0dd6c94922cc43e78dc6827d01d2"]
[[workbook.label]]
sheet = "Status"
cell = "B3"
text = "Version 1"
[workbook.fields]
agency = { sheet = "Status", cell = "D7" }
[workbook.rows]
sheet = "Inventory"
first = 7
last = 294
columns = { 8 = "I" }
"#;

fn parse(form: &str) -> Result<Pack, String> {
    let files = [("directive.toml", DIRECTIVE), ("product.toml", PRODUCT), ("report.toml", form), ("SOURCES.md", "")];
    let files: Files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into();
    Pack::parse("ed-test", &files).map_err(|problems| problems.to_string())
}

#[test]
fn a_map_of_a_form_is_read() {
    let workbook = parse(FORM).unwrap().form.workbook.unwrap();
    assert_eq!(workbook.fields["agency"].cell.to_string(), "D7");
    let rows = workbook.rows.unwrap();
    assert_eq!((rows.room(), rows.columns["8"].to_string()), (288, "I".to_owned()));
}

#[test]
fn a_mistake_in_the_map_is_shown_with_its_place() {
    for (old, new, words) in [
        ("\"D7\"", "\"7D\"", "\"7D\" is no cell: expected a column and a row, such as D7"),
        ("8 = \"I\"", "8 = \"i\"", "\"i\" is no column"),
        ("agency = {", "agenzy = {", "the form has no field \"agenzy\""),
        ("8 = \"I\"", "9 = \"I\"", "the form has no column \"9\""),
        ("6e391d", "6E391D", "is no SHA-256"),
        ("sheet = \"Inventory\"", "sheet = \" \"", "a sheet has no name"),
        ("first = 7", "first = 8", "are 287 instances, and most-rows says 288"),
        ("first = 7", "first = 0", "are no part of a sheet"),
        ("last = 294", "last = 6", "are no part of a sheet"),
        ("last = 294", "last = 4294967295", "are no part of a sheet"),
        ("[[workbook.label]]\nsheet = \"Status\"\ncell = \"B3\"\ntext = \"Version 1\"", "label = []", "recognised"),
        ("file = ", "flie = ", "unknown field `flie`"),
    ] {
        let form = FORM.replacen(old, new, 1);
        assert_ne!(form, FORM, "{old}");
        let said = parse(&form).unwrap_err();
        assert!(said.contains(words), "{words:?} is not in: {said}");
        assert!(said.contains("report.toml:") && said.contains('^'), "no place: {said}");
    }
}

#[test]
fn two_answers_for_one_cell_are_refused() {
    let form = FORM.replacen("[[column]]", "[[field]]\nid = \"b\"\nlabel = \"B\"\n[[column]]", 1);
    let form = form.replacen("[workbook.rows]", "b = { sheet = \"Status\", cell = \"D7\" }\n[workbook.rows]", 1);
    assert!(parse(&form).unwrap_err().contains("two answers would go to cell D7"));
}
