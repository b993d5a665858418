//! Cases of the CEL conformance tests (`google/cel-spec`, `tests/simple`), as far
//! as they need nothing that the profile leaves out: bytes, unsigned integers,
//! timestamps, durations, messages, containers. Where the profile decides
//! otherwise, the line says so.

use serde_json::{Value, json};

use super::{evaluate, run_table};

fn run(table: &str) {
    run_table(table, &Value::Null, &Value::Null);
}

#[test]
fn basic() {
    run(r#"
        0 => 0
        0.0 => 0.0
        0e+0 => 0.0
        '' => ""
        "" => ""
        r"" => ""
        false => false
        null => null
        [] => []
        {} => {}
        17 => 17
        -9223372036854775808 => -9223372036854775808
        9223372036854775807 => 9223372036854775807
        -2.3e+1 => -23.0
        "!" => "!"
        '\'' => "'"
        [-1] => [-1]
        {"k":"v"} => {"k":"v"}
        true => true
        0x55555555 => 1431655765
        -0x55555555 => -1431655765
    "#);
}

#[test]
fn comparisons() {
    run(r#"
        1 == 1 => true
        -1 == 1 => false
        1.0 == 1.0e+0 => true
        -1.0 == 1.0 => false
        '' == "" => true
        'a' == 'b' => false
        'abc' == r'abc' => true
        'abc' == 'ABC' => false
        null == null => true
        true == true => true
        false == true => false
        [] == [] => true
        [1, 2, 3] == [1, 2, 3] => true
        [1, 2, 3] == [1, 3, 2] => false
        ['case'] == ['cAse'] => false
        {} == {} => true
        {'k':'v'} == {"k":"v"} => true
        {'k':1.0} == {'k':1e+0} => true
        {'k':'v'} == {'k':'v1'} => false
        {'k':'v','k1':'v1'} == {'k':'v'} => false
        {'k1':'v1','k2':'v2'} == {'k2':'v2','k1':'v1'} => true
        {'key':'value'} == {'Key':'value'} => false
        24 != 42 => true
        1 != 1 => false
        9.0e+3 != 9001.0 => true
        1.0 != 1e+0 => false
        'abc' != '' => true
        'abc' != 'abc' => false
        false != true => true
        true != true => false
        null != null => false
        [] != [1] => true
        [] != [] => false
        [true, false, true] != [true, true, false] => true
        [false, true] != [false, true] => false
        [[]] != [[]] => false
        {'k':'v'} != {'k':'v1'} => true
        {'k':true} != {'k1':true} => true
        {1:1.0} != {1:1.0} => false
        {'a':'b','c':'d'} != {'c':'d','a':'b'} => false
        -1 < 0 => true
        0 < 0 => false
        1.0 < 1.0000001 => true
        -0.0 < 0.0 => false
        'a' < 'b' => true
        'Abc' < 'aBC' => true
        'abc' < 'abcd' => true
        'a' < 'á' => true
        '' < '' => false
        'abc' < 'abc' => false
        'a' < 'AB' => false
        false < true => true
        true < true => false
        true < false => false
        [0] < [1] => !type_mismatch
        {0:'a'} < {1:'b'} => !type_mismatch
        null < null => !type_mismatch
        42 > -42 => true
        0 > 0 => false
        1e+1 > 1e+0 => true
        .99 > 9.9e-1 => false
        'abc' > 'aBc' => true
        'A' > '' => true
        '' > '' => false
        true > false => true
        false > true => false
        true > true => false
        null > null => !type_mismatch
        [1] > [0] => !type_mismatch
        {1:'b'} > {0:'a'} => !type_mismatch
        0 <= -1 => false
        0 <= 0 => true
        2 <= 1 => false
        'a' <= 'b' => true
        '' <= '' => true
        false <= true => true
        1 >= 2 => false
        2 >= 2 => true
        '' >= '' => true
        'z' >= 'a' => true
        # Numbers of different types are compared by value.
        1 == 1.0 => true
        1.0 == 1 => true
        dyn(1) == 2.0 => false
        1 < 1.5 => true
        2 < 1.5 => false
        1.5 >= 1 => true
        9007199254740993 == 9007199254740992.0 => false
        9007199254740993 > 9007199254740992.0 => true
        9223372036854775807 < 9223372036854775808.0 => true
        -9223372036854775808 == -9223372036854775808.0 => true
        1 > -1e300 => true
        1 < 1e300 => true
        -3 > -3.5 => true
        [1] == [1.0] => true
        {'k': 1} == {'k': 1.0} => true
        # Values of other types are not equal, and that is no error.
        1 == '1' => false
        1 != '1' => true
        null == false => false
        [] == {} => false
        1 < '1' => !type_mismatch
        null <= 1 => !type_mismatch
    "#);
}

#[test]
fn integer_math() {
    run(r#"
        42 + 2 => 44
        42 + (-2) => 40
        -42 + (-2) => -44
        42 - 2 => 40
        42 - (-2) => 44
        -42 - (-2) => -40
        42 * 2 => 84
        42 * (-2) => -84
        -42 * (-2) => 84
        42 / 2 => 21
        -42 / 2 => -21
        -42 / (-2) => 21
        42 % 5 => 2
        42 % (-5) => 2
        -42 % (-5) => -2
        -42 % 5 => -2
        -7 / 2 => -3
        -(42) => -42
        42 % 0 => !divide_by_zero
        -(0) => 0
        -(-42) => 42
        15 / 0 => !divide_by_zero
        15 * 0 => 0
        9223372036854775807 + 1 => !overflow
        -9223372036854775808 + -1 => !overflow
        -9223372036854775808 - 1 => !overflow
        9223372036854775807 - -1 => !overflow
        5000000000 * 5000000000 => !overflow
        (-5000000000) * 5000000000 => !overflow
        -9223372036854775808 / -1 => !overflow
        -9223372036854775808 % -1 => !overflow
        -(-9223372036854775808) => !overflow
    "#);
}

#[test]
fn fp_math() {
    run(r#"
        4.25 + 15.25 => 19.5
        17.75 + (-7.75) => 10.0
        -4.125 + (-2.125) => -6.25
        42.0 - 12.0 => 30.0
        42.875 - (-22.0) => 64.875
        -4.875 - (-0.125) => -4.75
        42.5 * 0.2 => 8.5
        40.75 * (-2.25) => -91.6875
        -3.0 * (-2.5) => 7.5
        0.0625 / 0.002 => 31.25
        -2.0 / 2.0 => -1.0
        -8.875 / (-0.0625) => 142.0
        47.5 % 5.5 => !type_mismatch
        -(4.5) => -4.5
        -(-1.25) => 1.25
        0.0 == -(0.0) => true
        15.36 * 0.0 => 0.0
        0.0 + 1.75 => 1.75
        2.5 + 0.0 => 2.5
        7.5 + 1.5 == 1.5 + 7.5 => true
        5.625 + (15.75 + 2.0) == (5.625 + 15.75) + 2.0 => true
        1.0 * 45.25 => 45.25
        -25.25 * 1.0 => -25.25
        1.5 * 25.875 == 25.875 * 1.5 => true
        1.5 * (23.625 * 0.75) == (1.5 * 23.625) * 0.75 => true
        5.75 * (1.5 + 2.5)  == 5.75 * 1.5 + 5.75 * 2.5 => true
        1e-324  / 2.0 => 0.0
        # The profile has no infinity and no NaN.
        15.75 / 0.0 => !divide_by_zero
        0.0 / 0.0 => !divide_by_zero
        2.0 * 8.988466e+307 => !overflow
        2.0 * -8.988466e+307 => !overflow
        # No mixed arithmetic.
        1 + 1.0 => !type_mismatch
        1.5 * 2 => !type_mismatch
    "#);
}

#[test]
fn logic() {
    run(r#"
        true ? 1 : 2 => 1
        false ? 'foo' : 'bar' => "bar"
        2 / 0 > 4 ? 'baz' : 'quux' => !divide_by_zero
        true ? 'cows' : 17 => "cows"
        'cows' ? false : 17 => !type_mismatch
        true && true => true
        false && false => false
        false && true => false
        true && false => false
        false && 32 => false
        'horses' && false => false
        false && (2 / 0 > 3 ? false : true) => false
        (2 / 0 > 3 ? false : true) && false => false
        true && 1/0 != 0 => !divide_by_zero
        1/0 != 0 && true => !divide_by_zero
        'less filling' && 'tastes great' => !type_mismatch
        true || true => true
        false || false => false
        false || true => true
        true || false => true
        true || 32 => true
        'horses' || true => true
        true || (2 / 0 > 3 ? false : true) => true
        (2 / 0 > 3 ? false : true) || true => true
        false || 1/0 != 0 => !divide_by_zero
        1/0 != 0 || false => !divide_by_zero
        'less filling' || 'tastes great' => !type_mismatch
        !true => false
        !false => true
        !0 => !type_mismatch
    "#);
}

#[test]
fn lists() {
    run(r#"
        [0, 1, 2]+[3, 4, 5]==[0, 1, 2, 3, 4, 5] => true
        [0, 1, 2]+[3, 4, 5]==[3, 4, 5, 0, 1, 2] => false
        [2]+[2]==[2, 2] => true
        []+[]==[] => true
        []+[3, 4] => [3, 4]
        [1, 2]+[] => [1, 2]
        [7, 8, 9][0] => 7
        [7, 8, 9][dyn(0.0)] => 7
        [7, 8, 9][dyn(0.1)] => !out_of_bounds
        ['foo'][0] => "foo"
        [0, 1, 1, 2, 3, 5, 8, 13][4] => 3
        [7, 8, 9][1] => 8
        [7, 8, 9][2] => 9
        [1, 2, 3][3] => !out_of_bounds
        [1, 2, 3][-1] => !out_of_bounds
        [1]['0'] => !type_mismatch
        7 in [] => false
        4 in [7, 8, 9] => false
        7 in [7, 8, 9] => true
        8 in [7, 8, 9] => true
        9 in [7, 8, 9] => true
        7.0 in [7] => true
        'elephant' in [1, 'elephant', 76] => true
        'hippo' in ['a', 1] => false
        1 in 'a' => !type_mismatch
        size([]) => 0
        size([1, 2, 3]) => 3
        size({1: 'one', 2: 'two', 3: 'three'}) => 3
        size({}) => 0
        [1, 2].size() => 2
        size(1) => !type_mismatch
    "#);
}

#[test]
fn fields() {
    run(r#"
        {0:1,2:2,5:true}[5] => true
        {'name':100}['name'] => 100
        {true:5}[true] => 5
        {true:1,2:2,5:3}[true] => 1
        {0:1,2:2,5:3}[1] => !no_such_member
        {true:null}[true] => null
        {27:false}[27] => false
        {'n':'x'}['n'] => "x"
        {3:15.15}[3] => 15.15
        {"map": {"k": "v"}, "list": [1]}["map"] => {"k":"v"}
        {1: 'a'}[1.0] => "a"
        {1: 'a'}[1.1] => !no_such_member
        {'k': 1}[null] => !type_mismatch
        {'k1': 1, 'k1': 2} => !duplicate_key
        {0: 1, 0: 2}[0] => !duplicate_key
        {1.5: 1} => !type_mismatch
        {null: 1} => !type_mismatch
        {'a': 1}.a => 1
        {'a': 1}.b => !no_such_member
        [1].a => !type_mismatch
        (1).a => !type_mismatch
        has({'a': 1}.a) => true
        has({'a': null}.a) => true
        has({'a': 1, 'b': 2}.b) => true
        has({'a': 1}.d) => false
        has({'a': {'b': 1}}.a.b) => true
        has({}.a.b) => !no_such_member
        has([1].a) => !type_mismatch
        'a' in {'a': 1} => true
        'b' in {'a': 1} => false
        1 in {'a': 1} => false
        [] in {'a': 1} => !type_mismatch
    "#);
}

#[test]
fn macros() {
    run(r#"
        [1, 2, 3].exists(e, e > 0) => true
        [1, 2, 3].exists(e, e == 2) => true
        [1, 2, 3].exists(e, e > 3) => false
        [1, 'foo', 3].exists(e, e != '1') => true
        [1, 'foo', 3].exists(e, e % 2 == 0) => !type_mismatch
        [1, 'foo', 3].exists(e, e > 2) => true
        [1, 2, 3].exists(e, e / 0 == 17) => !divide_by_zero
        [].exists(e, e == 2) => false
        {'key1':1, 'key2':2}.exists(k, k == 'key2') => true
        !{'key1':1, 'key2':2}.exists(k, k == 'key3') => true
        {'key':1, 1:21}.exists(k, k != 2) => true
        [1, 2, 3].all(e, e > 0) => true
        [1, 2, 3].all(e, e == 2) => false
        [1, 2, 3].all(e, e == 17) => false
        [1, 'foo', 3].all(e, e == 1) => false
        [1, 'foo', 3].all(e, e % 2 == 1) => !type_mismatch
        [1, 2, 3].all(e, 6 / (2 - e) == 6) => false
        [1, 2, 3].all(e, e / 0 != 17) => !divide_by_zero
        [].all(e, e > 0) => true
        {'key1':1, 'key2':2}.all(k, k == 'key2') => false
        [].exists_one(a, a == 7) => false
        [7].exists_one(a, a == 7) => true
        [8].exists_one(a, a == 7) => false
        [1, 2, 3].exists_one(x, x > 20) => false
        [6, 7, 8].exists_one(foo, foo % 5 == 2) => true
        [0, 1, 2, 3, 4].exists_one(n, n % 2 == 1) => false
        ['foal', 'foo', 'four'].exists_one(n, n.startsWith('fo')) => false
        [3, 2, 1, 0].exists_one(n, 12 / n > 1) => !divide_by_zero
        {6: 'six', 7: 'seven', 8: 'eight'}.exists_one(foo, foo % 5 == 2) => true
        [].map(n, n / 2) => []
        [3].map(n, n * n) => [9]
        [2, 4, 6].map(n, n / 2) => [1, 2, 3]
        [2, 1, 0].map(n, 4 / n) => !divide_by_zero
        {1: 1, 2: 4, 3: 9}.map(x, x * x) => [1, 4, 9]
        [1, 2, 3].map(n, n % 2 == 1, n * 10) => [10, 30]
        [].filter(n, n % 2 == 0) => []
        [2].filter(n, n == 2) => [2]
        [1].filter(n, n > 3) => []
        [1, 2, 3].filter(e, e > 3) => []
        [0, 1, 2, 3, 4].filter(x, x % 2 == 1) => [1, 3]
        [1, 2, 3].filter(n, n > 0) => [1, 2, 3]
        [3, 2, 1, 0].filter(n, 12 / n > 4) => !divide_by_zero
        {0: 10, 1: 11, 2: 12, 3: 13, 4: 14}.filter(x, x % 2 == 1) => [1, 3]
        ['signer'].filter(signer, ['artifact'].all(artifact, true)) => ["signer"]
        [[1, 2], [3]].all(l, l.all(n, n > 0)) => true
        [1].map(x, [2].map(y, x + y)) => [[3]]
        [1].map(x, [2].map(x, x)) => [[2]]
        [1, 2].exists(e, 1) => !type_mismatch
        (1).all(x, true) => !type_mismatch
        'abc'.exists(c, c == 'a') => !type_mismatch
    "#);
}

#[test]
fn strings() {
    run(r#"
        size('') => 0
        size('A') => 1
        size('ÿ') => 1
        size('four') => 4
        size('πέντε') => 5
        'πέντε'.size() => 5
        size('😁') => 1
        'foobar'.startsWith('foo') => true
        'foobar'.startsWith('bar') => false
        ''.startsWith('foo') => false
        'foobar'.startsWith('') => true
        ''.startsWith('') => true
        'завтра'.startsWith('за') => true
        'foobar'.endsWith('bar') => true
        'foobar'.endsWith('foo') => false
        ''.endsWith('foo') => false
        'foobar'.endsWith('') => true
        ''.endsWith('') => true
        'forté'.endsWith('té') => true
        'hubba'.matches('ubb') => true
        ''.matches('foo|bar') => false
        'cows'.matches('') => true
        ''.matches('') => true
        'abcd'.matches('bc') => true
        'grey'.matches('gr(a|e)y') => true
        'banana'.matches('ba(na)*') => true
        'mañana'.matches('a+ñ+a+') => true
        '🐱😀😀'.matches('(a|😀){2}') => true
        matches('abc', '^[a-c]+$') => true
        'he' + 'llo' => "hello"
        'hello' + ' ' == 'hello' => false
        '' + 'abc' => "abc"
        'abc' + '' => "abc"
        '' + '' => ""
        '¢' + 'ÿ' + 'Ȁ' => "¢ÿȀ"
        'r' + 'ô' + 'le' => "rôle"
        'hello'.contains('he') => true
        'hello'.contains('') => true
        'hello'.contains('ol') => false
        'abababc'.contains('ababc') => true
        'Straße'.contains('aß') => true
        1.contains('1') => !type_mismatch
        'a' + 1 => !type_mismatch
        'a' - 'a' => !type_mismatch
    "#);
}

#[test]
fn conversions() {
    run(r#"
        double(0) => 0.0
        double(1000000000000) => 1000000000000.0
        double(-1000000000000000) => -1000000000000000.0
        double(9223372036854775807) => 9.223372036854775807e18
        double('0') => 0.0
        double('0.0') => 0.0
        double('123') => 123.0
        double('123.456') => 123.456
        double('-987.654') => -987.654
        double('6.02214e23') => 6.02214e23
        double('1.38e-23') => 1.38e-23
        double('-84.32e7') => -8.432e8
        double('-5.43e-21') => -5.43e-21
        double('') => !conversion
        double('a') => !conversion
        double('inf') => !conversion
        double('NaN') => !conversion
        double('0x1p3') => !conversion
        double(' 1') => !conversion
        double('1e400') => !overflow
        double(true) => !type_mismatch
        int(1) => 1
        int(-123.456) => -123
        int(1.9) => 1
        int(-7.9) => -7
        int(11.5) => 11
        int(-3.5) => -3
        int(1e99) => !overflow
        int(9223372036854775807.0) => !overflow
        int(-9223372036854775808.0) => -9223372036854775808
        int('987') => 987
        int('-9223372036854775808') => -9223372036854775808
        int('9223372036854775808') => !conversion
        int('1.0') => !conversion
        int('') => !conversion
        int('0x1') => !conversion
        int(null) => !type_mismatch
        string('s') => "s"
        string(123) => "123"
        string(-456) => "-456"
        string(123.456) => "123.456"
        string(-4.5e-3) => "-0.0045"
        string(1.0) => "1"
        string(1e21) => "1e+21"
        string(1e-7) => "1e-7"
        string(-0.0) => "0"
        string(true) => "true"
        string(null) => !type_mismatch
        string([]) => !type_mismatch
        type(true) == bool => true
        type(0) == int => true
        type(true) == type(false) => true
        type(3.14) == double => true
        type(null) == null_type => true
        type('foo') == string => true
        type([1, 2, 3]) == list => true
        type([1, 2, 3]) == type(['one', 'two', 'three']) => true
        type({4: 16}) == map => true
        type({'one': 1}) == type({1: 'one'}) => true
        type(0.0) != type(-0.0) => false
        type(0.0) != type(0) => true
        type(int) == type => true
        type(type) == type => true
        type(type(7)) == type(type('7')) => true
        type(7) == type('7') => false
        type(dyn([1, 'one'])) == list => true
        type(1) => !not_json
    "#);
}

/// What every implementation must be able to read.
#[test]
fn repetition_and_nesting() {
    let row = |operand: &str, operator: &str, times: usize| vec![operand; times].join(operator);
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    for (source, expected) in [
        (nested("(", "7", ")", 32), json!(7)),
        (nested("int(", "7", ")", 12), json!(7)),
        (format!("size({})", nested("[", "0", "]", 12)), json!(1)),
        (format!("size({})", nested("{0: ", "'foo'", "}", 12)), json!(1)),
        (format!("{}{}", nested("[", "'foo'", "]", 12), "[0]".repeat(12)), json!("foo")),
        (format!("{}false", "true ? true : ".repeat(24)), json!(true)),
        (format!("{} || true", row("false", " || ", 31)), json!(true)),
        (format!("{} && false", row("true", " && ", 31)), json!(false)),
        (format!("{}3", "3 - 3 + ".repeat(12)), json!(3)),
        (format!("4{}", " * 4 / 4".repeat(12)), json!(4)),
        (format!("{}true", "!".repeat(32)), json!(true)),
        (format!("{}19", "-".repeat(32)), json!(19)),
        (format!("{}19", "-".repeat(33)), json!(-19)),
        (format!("[{}][17]", row("5", ",", 32)), json!(5)),
    ] {
        assert_eq!(evaluate(&source, &Value::Null, &Value::Null), Ok(expected), "{source}");
    }
}

#[test]
fn string_literals() {
    for (source, expected) in [
        (r#"'hello'"#, "hello"),
        (r#""hello""#, "hello"),
        (r#"'''hello'''"#, "hello"),
        (r#""""hello""""#, "hello"),
        (r#"' \\ \? \" \' \` '"#, " \\ ? \" ' ` "),
        (r#"''' ? " ' ` '''"#, " ? \" ' ` "),
        (r#""""it's "quoted" here""""#, "it's \"quoted\" here"),
        (r#"' \a \b \f \t \v \n \r '"#, " \u{7} \u{8} \u{c} \t \u{b} \n \r "),
        ("''' \n '''", " \n "),
        ("\"\"\" \r\n \"\"\"", " \r\n "),
        (r#"' \x01 \X7F \xff '"#, " \u{1} \u{7f} ÿ "),
        (r#"' \012 \177 \377 '"#, " \n \u{7f} ÿ "),
        (r#"'\u00e9\u20AC\U0001F431'"#, "é€🐱"),
        (r#"r'\n\x01'"#, "\\n\\x01"),
        (r#"R"\""#, "\\"),
        (r#"r'''\'''"#, "\\"),
        (r#"'// no comment'"#, "// no comment"),
        ("'a' // a comment ' \n + /* */ 'b'".split("/* */").collect::<String>().as_str(), "ab"),
    ] {
        assert_eq!(evaluate(source, &Value::Null, &Value::Null), Ok(json!(expected)), "{source}");
    }
}
