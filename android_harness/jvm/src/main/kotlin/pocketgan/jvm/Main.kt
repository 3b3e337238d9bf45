package pocketgan.jvm

import kotlin.system.exitProcess

private const val USAGE = "usage: judge"

/** What this jar does: `judge` files by the questions on standard input. */
fun main(arguments: Array<String>) {
    when (arguments.firstOrNull()) {
        "judge" -> judge()
        else -> {
            System.err.println(USAGE)
            exitProcess(2)
        }
    }
}
