//! Validation by a JSON schema, as much of draft 7 as the schemas of this repository use. A keyword that it does not know fails the
//! test: it must never pass over one. For tests only; `tests/it/real_schema.rs` holds the same schemas against validators that others wrote.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex_lite::Regex;
use serde_json::Value;

/// What is wrong with `value`: the first thing, with its place.
pub fn wrong(schema: &Value, value: &Value) -> Option<String> {
    check(schema, schema, value, "")
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    let keywords = match schema {
        Value::Bool(true) => return None,
        Value::Bool(false) => return Some(format!("{place}: may not be there")),
        Value::Object(keywords) => keywords,
        _ => panic!("not a schema: {schema}"),
    };
    for (keyword, rule) in keywords {
        let found = keyword_is_broken(root, schema, keyword, rule, value, place);
        if found.is_some() {
            return found;
        }
    }
    None
}

fn keyword_is_broken(
    root: &Value,
    schema: &Value,
    keyword: &str,
    rule: &Value,
    value: &Value,
    place: &str,
) -> Option<String> {
    let told = |holds: bool, what: String| (!holds).then(|| format!("{place}: {value} {what}"));
    let inner = |schema: &Value, value: &Value, step: &str| check(root, schema, value, &format!("{place}/{step}"));
    let number = rule.as_f64().unwrap_or_default();
    match keyword {
        "$schema" | "$id" | "title" | "description" | "definitions" | "additionalItems" | "then" | "else" => None,
        "$ref" => {
            let path = rule.as_str().and_then(|it| it.strip_prefix('#')).expect("references stay in the file");
            check(root, root.pointer(path).unwrap_or_else(|| panic!("nothing at {path}")), value, place)
        }
        "type" => {
            let is = |name: &Value| match name.as_str().expect("a type is a string") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "null" => value.is_null(),
                other => panic!("type {other}"),
            };
            let holds = rule.as_array().map_or_else(|| is(rule), |it| it.iter().any(is));
            told(holds, format!("is not of type {rule}"))
        }
        "enum" => told(list(rule).contains(value), format!("is none of {rule}")),
        "const" => told(rule == value, format!("is not {rule}")),
        "not" => told(check(root, rule, value, place).is_some(), format!("is what it must not be: {rule}")),
        "allOf" => list(rule).iter().find_map(|it| check(root, it, value, place)),
        "anyOf" => {
            told(list(rule).iter().any(|it| check(root, it, value, place).is_none()), format!("is none of {rule}"))
        }
        "oneOf" => {
            let wrongs: Vec<Option<String>> = list(rule).iter().map(|it| check(root, it, value, place)).collect();
            let fits = wrongs.iter().filter(|it| it.is_none()).count();
            told(fits == 1, format!("fits {fits} instead of one: {wrongs:?}"))
        }
        "if" => {
            let branch = if check(root, rule, value, place).is_none() { "then" } else { "else" };
            schema.get(branch).and_then(|it| check(root, it, value, place))
        }
        // Of strings.
        "pattern" => {
            let text = value.as_str()?;
            let pattern = regex(rule.as_str().expect("a pattern is a string"));
            told(pattern.is_match(text), format!("does not fit {rule}"))
        }
        "minLength" => told(value.as_str()?.chars().count() as f64 >= number, format!("is shorter than {rule}")),
        "maxLength" => told(value.as_str()?.chars().count() as f64 <= number, format!("is longer than {rule}")),
        "format" => match rule.as_str() {
            Some("date-time") => {
                let shape = Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$").expect("it is one");
                told(shape.is_match(value.as_str()?), "is not a time".to_owned())
            }
            other => panic!("format {other:?}"),
        },
        // Of numbers.
        "minimum" => told(value.as_f64()? >= number, format!("is below {rule}")),
        "maximum" => told(value.as_f64()? <= number, format!("is above {rule}")),
        // Of lists.
        "items" => {
            let items = value.as_array()?;
            match rule {
                Value::Array(first) => items.iter().enumerate().find_map(|(index, item)| {
                    let rule = first.get(index).or_else(|| schema.get("additionalItems"))?;
                    inner(rule, item, &index.to_string())
                }),
                _ => items.iter().enumerate().find_map(|(index, item)| inner(rule, item, &index.to_string())),
            }
        }
        "minItems" => told(value.as_array()?.len() as f64 >= number, format!("has less than {rule} items")),
        "maxItems" => told(value.as_array()?.len() as f64 <= number, format!("has more than {rule} items")),
        "uniqueItems" => {
            let items = value.as_array()?;
            let twice = items.iter().enumerate().any(|(index, it)| items[..index].contains(it));
            told(!twice, "has something twice".to_owned())
        }
        // Of tables.
        "properties" => {
            let table = value.as_object()?;
            let rules = rule.as_object().expect("properties are a table");
            table.iter().find_map(|(name, value)| inner(rules.get(name)?, value, name))
        }
        "additionalProperties" => {
            let known = schema.get("properties").and_then(Value::as_object);
            let mut more = value.as_object()?.iter().filter(|it| known.is_none_or(|known| !known.contains_key(it.0)));
            more.find_map(|(name, value)| inner(rule, value, name))
        }
        "propertyNames" => value.as_object()?.keys().find_map(|name| inner(rule, &Value::String(name.clone()), name)),
        "required" => {
            let table = value.as_object()?;
            let missing = list(rule).iter().find(|it| !table.contains_key(it.as_str().unwrap_or_default()))?;
            Some(format!("{place}: lacks {missing}"))
        }
        "minProperties" => told(value.as_object()?.len() as f64 >= number, format!("has less than {rule} keys")),
        "maxProperties" => told(value.as_object()?.len() as f64 <= number, format!("has more than {rule} keys")),
        other => panic!("this validator does not know the keyword `{other}`"),
    }
}

/// A pattern, compiled once a thread. `\u0000` is JSON's way to write what this engine writes as `\x00`.
fn regex(pattern: &str) -> Rc<Regex> {
    thread_local! { static KNOWN: RefCell<HashMap<String, Rc<Regex>>> = RefCell::default(); }
    let compile = || Regex::new(&pattern.replace("\\u00", "\\x")).unwrap_or_else(|it| panic!("{pattern}: {it}"));
    KNOWN.with(|known| Rc::clone(known.borrow_mut().entry(pattern.to_owned()).or_insert_with(|| Rc::new(compile()))))
}

fn list(rule: &Value) -> &[Value] {
    rule.as_array().expect("this keyword takes a list")
}
