package pocketgan.json

import java.util.Locale

private const val MOST_SHOWN = 120

/** Foreign text on one line, without characters that a terminal would obey: as Python's `ascii` writes it. */
fun quote(text: String): String {
    val mark = if ('\'' in text && '"' !in text) '"' else '\''
    val shown = StringBuilder().append(mark)
    for (point in text.codePoints()) shown.append(escaped(point, mark))
    shown.append(mark)
    return if (shown.length <= MOST_SHOWN) shown.toString() else shown.substring(0, MOST_SHOWN - 3) + "..."
}

/** Whether all of the text can be shown as it is: no control, format, separator or unassigned characters. */
fun isPrintable(text: String): Boolean =
    text.codePoints().allMatch { point ->
        point == ' '.code ||
            when (Character.getType(point).toByte()) {
                Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.PRIVATE_USE, Character.UNASSIGNED,
                Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.SPACE_SEPARATOR,
                -> false
                else -> true
            }
    }

private fun escaped(point: Int, mark: Char): String =
    when {
        point == mark.code || point == '\\'.code -> "\\${point.toChar()}"
        point == '\n'.code -> "\\n"
        point == '\r'.code -> "\\r"
        point == '\t'.code -> "\\t"
        point in 0x20..0x7e -> point.toChar().toString()
        point < 0x100 -> String.format(Locale.ROOT, "\\x%02x", point)
        point < 0x10000 -> String.format(Locale.ROOT, "\\u%04x", point)
        else -> String.format(Locale.ROOT, "\\U%08x", point)
    }
