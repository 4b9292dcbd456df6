//! CloudWatch Logs as the client sees it: pages by forward token, whatever their sizes.

use std::time::Duration;

use xtask::aws::Aws;
use xtask::aws::logs::{LogPage, LogRead};

use super::{run_task, staging, with_client};
use crate::fake::{Fake, Fault, Life};

/// Starts an ECS task and gives its stream.
async fn stream(fake: &Fake, aws: &Aws) -> String {
    let _ = aws.run_task(&run_task()).await.unwrap();
    let started = fake.started();
    format!("app/web/{}", started.last().unwrap().arn.rsplit('/').next().unwrap())
}

async fn page(aws: &Aws, stream: &str, token: Option<String>) -> LogPage {
    match aws.log_page("/ecs/app", stream, token).await.unwrap() {
        LogRead::Page(page) => page,
        LogRead::Missing(message) => panic!("{message}"),
    }
}

/// Every line to the end as it is now, and how many pages, and how many of them empty, it took.
async fn read(aws: &Aws, stream: &str) -> (Vec<String>, usize, usize) {
    let (mut lines, mut pages, mut empty, mut token) = (Vec::new(), 0, 0, None);
    loop {
        let page = page(aws, stream, token.clone()).await;
        pages += 1;
        empty += usize::from(page.events.is_empty());
        lines.extend(page.events.into_iter().map(|it| it.message));
        if page.next_token == token {
            return (lines, pages, empty);
        }
        token = page.next_token;
    }
}

#[test]
fn the_whole_log_under_any_paging() {
    let expected: Vec<String> = (1..=2_000).map(|it| it.to_string()).collect();
    let fake = staging().task_life(Life::counts_to(2_000));
    with_client("log::the_whole_log_under_any_paging", fake, async |fake, aws| {
        let stream = stream(fake, aws).await;
        fake.advance(60_000);
        assert_eq!(read(aws, &stream).await, (expected.clone(), 2, 1));
        let mut shapes = Vec::new();
        for seed in 0..10 {
            fake.set_log_pages(seed, 700, 2);
            let (lines, pages, empty) = read(aws, &stream).await;
            assert_eq!(lines, expected, "seed {seed}");
            shapes.push((pages, empty));
        }
        assert!(shapes.iter().any(|(_, empty)| *empty > 2), "{shapes:?}");
        assert!(shapes.iter().any(|it| *it != shapes[0]), "{shapes:?}");
    });
}

#[test]
fn a_page_has_its_limits() {
    let long = "x".repeat(300_000);
    let lives = staging().next_life(Life::counts_to(25_000)).next_life(Life::prints(vec![long.as_str(); 7]));
    with_client("log::a_page_has_its_limits", lives, async |fake, aws| {
        let (many, large) = (stream(fake, aws).await, stream(fake, aws).await);
        fake.advance(60_000);
        assert_eq!(page(aws, &many, None).await.events.len(), 10_000);
        assert_eq!(page(aws, &large, None).await.events.len(), 3, "a megabyte");
        assert_eq!(read(aws, &many).await.0.len(), 25_000);
        assert_eq!(read(aws, &large).await.0.len(), 7);
    });
}

#[test]
fn a_stream_comes_with_its_container_or_later_or_never() {
    let fake = staging()
        .next_life(Life::prints(["a"]).stream_missing(2))
        .next_life(Life::prints(["a"]).stream_after(60_000))
        .next_life(Life::prints(["a"]).no_stream())
        .next_life(Life::prints(["a"]));
    with_client("log::a_stream_comes_with_its_container_or_later_or_never", fake, async |fake, aws| {
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(stream(fake, aws).await);
        }
        let missing = async |stream: &str| {
            let read = aws.log_page("/ecs/app", stream, None).await.unwrap();
            matches!(read, LogRead::Missing(message) if message == "The specified log stream does not exist.")
        };
        assert!(missing(&streams[3]).await, "the container has not started");
        fake.advance(30_000);
        assert!(!missing(&streams[3]).await);
        assert_eq!(
            [missing(&streams[0]).await, missing(&streams[0]).await, missing(&streams[0]).await],
            [true, true, false]
        );
        assert!(missing(&streams[1]).await);
        fake.advance(60_000);
        assert_eq!([missing(&streams[1]).await, missing(&streams[2]).await], [false, true]);
        let read = aws.log_page("/ecs/other", &streams[3], None).await.unwrap();
        assert_eq!(read, LogRead::Missing("The specified log group does not exist.".to_owned()));
    });
}

#[test]
fn lines_come_late_and_after_the_end() {
    let life = Life::counts_to(500).last_lines_late(100, 20_000);
    with_client("log::lines_come_late_and_after_the_end", staging().task_life(life), async |fake, aws| {
        let stream = stream(fake, aws).await;
        fake.advance(26_000);
        let task = fake.started().remove(0);
        assert_eq!(task.status, "STOPPED");
        let (mut lines, mut token) = (0, None);
        for expected in [400, 400, 500] {
            loop {
                let page = page(aws, &stream, token.clone()).await;
                lines += page.events.len();
                let end = page.next_token == token;
                token = page.next_token;
                if end {
                    break;
                }
            }
            if expected == 400 {
                assert_eq!(lines, expected);
                fake.advance(6_000);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(read(aws, &stream).await.0.len(), 500);
    });
}

#[test]
fn lags_keep_the_order_and_lose_nothing() {
    let expected: Vec<String> = (1..=3_000).map(|it| it.to_string()).collect();
    let mut fake = staging().log_pages(5, 300, 1);
    for seed in 0..3 {
        fake = fake.next_life(Life::counts_to(3_000).runs(20_000).late(seed, 8_000));
    }
    with_client("log::lags_keep_the_order_and_lose_nothing", fake, async |fake, aws| {
        for _ in 0..3 {
            let stream = stream(fake, aws).await;
            fake.advance(18_000);
            let (mut lines, mut token) = (Vec::new(), None);
            let until = fake.now() + 40_000;
            while fake.now() < until {
                let page = page(aws, &stream, token.clone()).await;
                lines.extend(page.events.into_iter().map(|it| it.message));
                token = page.next_token;
                fake.advance(200);
            }
            assert_eq!(lines, expected);
        }
    });
}

#[test]
fn odd_lines_arrive_as_they_are() {
    let odd =
        ["", " ", "\"quoted\" \\ back", "tab\tbell\u{7}", "::set-output::x", "naïve ☕ 日本", "\u{1b}[31mred\u{1b}[0m"];
    let life = Life::prints(odd).same_millisecond();
    with_client("log::odd_lines_arrive_as_they_are", staging().task_life(life), async |fake, aws| {
        let stream = stream(fake, aws).await;
        fake.advance(60_000);
        let page = page(aws, &stream, None).await;
        assert_eq!(page.events.iter().map(|it| it.message.as_str()).collect::<Vec<_>>(), odd);
        assert!(page.events.iter().all(|it| it.timestamp == page.events[0].timestamp));
    });
}

#[test]
fn a_task_that_is_stopped_writes_no_more() {
    let life = Life::counts_to(1_000).runs(100_000);
    with_client("log::a_task_that_is_stopped_writes_no_more", staging().task_life(life), async |fake, aws| {
        let stream = stream(fake, aws).await;
        fake.advance(66_000);
        aws.stop_task("staging", &fake.started()[0].arn, "x").await.unwrap();
        fake.advance(100_000);
        let lines = read(aws, &stream).await.0.len();
        assert!((500..700).contains(&lines), "{lines}");
    });
}

#[test]
fn faults_and_bad_tokens_are_told() {
    let fake = staging().task_life(Life::counts_to(10)).fault(
        "GetLogEvents",
        2,
        Fault::Refuse("InvalidParameterException", "The specified nextToken is invalid."),
    );
    with_client("log::faults_and_bad_tokens_are_told", fake, async |fake, aws| {
        let stream = stream(fake, aws).await;
        fake.advance(60_000);
        let first = page(aws, &stream, None).await;
        let error = aws.log_page("/ecs/app", &stream, first.next_token.clone()).await.unwrap_err();
        assert!(error.is("InvalidParameterException"), "{error:?}");
        assert!(aws.log_page("/ecs/app", &stream, Some("f/12/s".to_owned())).await.is_err());
        assert_eq!(page(aws, &stream, first.next_token.clone()).await.next_token, first.next_token);
    });
}
