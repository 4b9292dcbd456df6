//! The difference between two texts, line by line.

/// Lines of both: `-` only expected, `+` only actual. Long equal parts are cut.
pub fn diff(expected: &str, actual: &str) -> String {
    let (left, right): (Vec<&str>, Vec<&str>) = (lines(expected), lines(actual));
    let start = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let end = left[start..].iter().rev().zip(right[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_left, middle_right) = (&left[start..left.len() - end], &right[start..right.len() - end]);
    let mut text = String::new();
    let mut add = |mark: char, line: &str| {
        text.push(mark);
        text.push(' ');
        text.push_str(&line.replace('\r', "␍").replace('\x1b', "␛"));
        if !line.ends_with('\n') {
            text.push_str("⏎ missing\n");
        }
    };
    for line in &left[start.saturating_sub(3)..start] {
        add(' ', line);
    }
    if middle_left.len() * middle_right.len() > 4_000_000 {
        // Too much to be told line by line: the first ones say enough.
        middle_left.iter().take(10).for_each(|it| add('-', it));
        middle_right.iter().take(10).for_each(|it| add('+', it));
    } else {
        for (mark, line) in aligned(middle_left, middle_right) {
            add(mark, line);
        }
    }
    for line in left[left.len() - end..].iter().take(3) {
        add(' ', line);
    }
    text
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Along the longest common subsequence.
fn aligned<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut common = vec![vec![0_u32; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            common[i][j] =
                if left[i] == right[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            out.push((' ', left[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || (i < left.len() && common[i + 1][j] >= common[i][j + 1]) {
            out.push(('-', left[i]));
            i += 1;
        } else {
            out.push(('+', right[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_marked() {
        let (expected, actual) = ("a\nb\nc\nd\ne\n", "a\nb\nx\nd\ne\nf");
        assert_eq!(diff(expected, actual), "  a\n  b\n- c\n+ x\n  d\n  e\n+ f⏎ missing\n");
        assert_eq!(diff("a\n", "a"), "- a\n+ a⏎ missing\n");
    }
}
