use super::*;

fn method(name: &str, image_auroc: f64, milliseconds: f64) -> ComparedMethod {
    let timing = Timing { features: milliseconds, retrieve: 1.0, score: 1.0, total: milliseconds + 2.0 };
    let figures = MethodFigures {
        image_auroc,
        pixels: None,
        confusion: Confusion { found: 3, missed: 1, false_alarms: 0, passed: 4 },
        timing,
        bank_bytes: 2_500_000,
        fit_seconds: None,
    };
    ComparedMethod { name: name.into(), description: String::new(), outcome: Ok(figures) }
}

fn page(comparison: &Comparison) -> String {
    Page::new(comparison).unwrap().render().unwrap()
}

#[test]
fn the_best_of_a_column_stands_out_and_what_is_alike_does_not() {
    let methods = vec![method("one", 0.9, 5.0), method("two", 0.95, 20.0)];
    let comparison = Comparison { methods, ..Default::default() };
    let columns = columns();
    let best = |name: &str| {
        let column = columns.iter().find(|column| column.name == name).unwrap();
        column.cells(&comparison.methods).iter().map(|cell| cell.best).collect::<Vec<_>>()
    };
    assert_eq!(best("Image AUROC"), [false, true]);
    assert_eq!(best(STEPS), [true, false]);
    assert_eq!(best("Missed"), [false, false]);
    assert_eq!(best("Pixel AP"), [false, false]);
    let page = page(&comparison);
    assert!(page.contains("1 of 4") && page.contains(">2.5<"));
    assert_eq!(page.matches("<dl class=\"bars faults\">").count(), 2, "false alarms and misses");
    let charts: Vec<&str> = page.split("<dl class=\"bars").collect();
    assert_eq!(charts.len(), 6, "no bars of what nobody has: pixels, the time of the fit");
}

#[test]
fn bars_are_as_long_as_they_say() {
    let methods = vec![method("one", 0.75, 5.0), method("two", 1.0, 18.0)];
    let comparison = Comparison { methods, ..Default::default() };
    let chart = |name: &str| {
        let columns = columns();
        let column = columns.iter().find(|column| column.name == name).unwrap();
        let bars = column.chart(&comparison, &column.cells(&comparison.methods)).unwrap().bars;
        bars.into_iter().map(|bar| bar.parts).collect::<Vec<_>>()
    };
    assert_eq!(chart("Image AUROC"), [[50.0], [100.0]]);
    assert_eq!(chart("Missed"), [[25.0], [25.0]]);
    assert_eq!(chart(STEPS), [[25.0, 5.0, 5.0], [90.0, 5.0, 5.0]]);
}

#[test]
fn names_and_reasons_are_escaped() {
    let failed = ComparedMethod {
        name: "<b>npad".into(),
        description: String::new(),
        outcome: Err("<script>alert(1)</script>".into()),
    };
    let methods = vec![failed, method("<u>cpr", 1.0, 1.0)];
    let notes = vec!["<s>few".into()];
    let example = Example { label: "<i>crack".into(), results: vec![None, None], ..Default::default() };
    let page = page(&Comparison { methods, notes, examples: vec![example], ..Default::default() });
    assert!(page.contains("few"));
    for part in ["<s>few", "<b>npad", "<script", "<i>crack", "<u>cpr"] {
        assert!(!page.contains(part), "{part}");
    }
    assert!(page.contains("failed:"));
    assert_eq!(page.matches("no result").count(), 1, "a method that failed has no column of pictures");
}

#[test]
fn a_picture_that_no_browser_shows_is_an_error() {
    let example = Example { path: "a.png".into(), input: b"no picture".into(), ..Default::default() };
    let comparison = Comparison { examples: vec![example], ..Default::default() };
    let Err(error) = Page::new(&comparison) else { panic!("a page of rubbish") };
    assert!(error.to_string().contains("a.png"), "{error}");
}
