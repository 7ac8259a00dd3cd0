//! The Parquet files, read by the reader of the same crate; tests/cluster.rs reads them with pyarrow.

use crate::line::{check_events, json_lines, line};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};
use std::fs::File;
use std::path::Path;

fn rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

#[test]
fn parquet_and_csv_say_the_same() {
    let line = line();
    std::fs::create_dir(line.path("in")).unwrap();
    for name in [&line.video, "good.mkv"] {
        std::fs::copy(line.path(name), line.path("in").join(name)).unwrap();
    }
    line.succeeds("--model b --out found in");
    let (events, table) = (line.events("found"), rows(&line.path("found/events.parquet")));
    assert_eq!(table.len(), events.len());
    for (row, event) in table.iter().zip(&events) {
        assert_eq!(row.get_string(0).unwrap(), &event.video);
        let double = |column| row.get_double(column).unwrap();
        for (column, value) in [(2, event.start), (3, event.end), (4, event.peak)] {
            assert!((double(column) - value).abs() < 1e-3, "{row}");
        }
        assert_eq!(double(5), event.peak_score);
        assert_eq!(row.get_long(10).unwrap() as u64, event.frames);
        let regions = row.get_list(11).unwrap();
        assert_eq!(regions.len(), event.regions.as_array().unwrap().len());
        assert_eq!(
            (row.get_string(12).unwrap(), row.get_string(13).unwrap()),
            (&event.still, &event.overlay)
        );
    }
    let frames = rows(&line.path("found/frames.parquet"));
    assert_eq!(frames.len() as u64, 240 + line.good_frames);
    // By name: the short one comes first.
    for (i, row) in frames[line.good_frames as usize..].iter().enumerate() {
        assert_eq!(row.get_string(0).unwrap(), &format!("in/{}", line.video));
        assert_eq!(row.get_long(1).unwrap() as usize, i);
        let time = row.get_double(2).unwrap();
        assert!((time - i as f64 / 2.0).abs() < 1e-3, "{row}");
        let inside = events.iter().any(|event| (event.start..event.end).contains(&(time + 1e-4)));
        assert_eq!(row.get_bool(5).unwrap(), inside, "{row}");
        assert_eq!(row.get_double(4).unwrap() >= 0.5, inside, "{row}");
        assert_eq!(row.get_string(6).unwrap() == "reject", inside, "{row}");
    }
}

#[test]
fn frames_in_warn_are_counted_and_make_no_event() {
    let line = line();
    let levels = |folder: &str| -> [usize; 3] {
        let rows = rows(&line.path(&format!("{folder}/frames.parquet")));
        ["normal", "warn", "reject"]
            .map(|level| rows.iter().filter(|row| row.get_string(6).unwrap() == level).count())
    };
    // Every frame that is not anomalous has a score above that.
    let run = line.succeeds(&format!("--model b --out all {} --warn -1 --json", line.video));
    let [normal, warn, reject] = levels("all");
    assert!(normal == 0 && reject > 0 && warn + reject == 240, "{normal} {warn} {reject}");
    let told = json_lines(&run.stdout);
    for kind in ["video", "done"] {
        let line = told.iter().find(|line| line["type"] == kind).unwrap();
        assert_eq!(line["warn_frames"], warn, "{line}");
    }
    check_events(&line.events("all"), &line.damaged);
    let videos = std::fs::read_to_string(line.path("all/videos.csv")).unwrap();
    assert!(videos.starts_with("video,seconds,frames,inspected,events,problem,warn_frames,"), "{videos}");
    assert_eq!(line.videos("all")[0]["warn_frames"], warn.to_string());
    let page = std::fs::read_to_string(line.path("all/index.html")).unwrap();
    for part in [
        format!("<dt>Frames in warn</dt><dd>{warn}</dd>"),
        format!("{warn} frames in warn</p>"),
        "warn level".into(),
    ] {
        assert!(page.contains(&part), "no '{part}'");
    }
    line.fails(&format!("--model b --out all {}", line.video))
        .says(&["other settings", "--warn was -1 and is now of the bundle"]);

    // Where it is never reached, nothing is said of it at the end.
    let run = line.succeeds(&format!("--model b --out none {} --warn 1e9", line.video));
    assert_eq!(levels("none"), [warn, 0, reject]);
    assert!(!run.stdout.contains("warn"), "{}", run.stdout);
}

#[test]
fn names_are_neither_formulas_in_tables_nor_commands_on_a_terminal() {
    let line = line();
    for name in ["=1+1.mkv", "@SUM(A1).mkv", "\u{1b}[31mred.mkv"] {
        std::fs::copy(line.path(&line.short), line.path(name)).unwrap();
    }
    std::fs::write(line.path("\u{1b}]0;title\u{7}.mkv"), "no video").unwrap();
    let mut command = line.command("--model b --out found =1+1.mkv @SUM(A1).mkv --accept-damaged");
    let output =
        command.args(["\u{1b}[31mred.mkv", "\u{1b}]0;title\u{7}.mkv", "\u{1b}none.mkv"]).assert().code(1);
    let output = output.get_output();
    let printed = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(printed).unwrap();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.contains("\\u001b]0;title\\u0007.mkv: ") && text.contains("\\u001bnone.mkv: "), "{text}");
    let videos = std::fs::read_to_string(line.path("found/videos.csv")).unwrap();
    let cells: Vec<&str> = videos.lines().skip(1).map(|row| row.trim_start_matches('"')).collect();
    assert_eq!(cells.len(), 4, "{videos}");
    assert!(cells.iter().all(|cell| !cell.starts_with(['=', '@', '+', '-'])), "{videos}");
    assert!(videos.contains("\n'=1+1.mkv,") && videos.contains("\n'@SUM(A1).mkv,"), "{videos}");
}
