package pocketgan.bundle

import java.io.IOException
import java.nio.BufferUnderflowException
import java.nio.file.Path
import pocketgan.json.JsonProblem
import pocketgan.json.quote

/** What is wrong with a bundle; [reading] adds whose it is. */
open class DamageException(message: String) : Exception(message)

/** A bundle that is damaged, hostile, too new or does not hold what was asked of it. One line that names it. */
open class BundleException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** Nothing that could be a bundle, rather than a damaged one. */
class NotABundleException(message: String) : BundleException(message)

/**
 * Turn whatever hostile bytes can cause into a [BundleException] that names the bundle.
 *
 * @throws BundleException what is wrong, on one line.
 */
inline fun <T> reading(path: Path, read: () -> T): T =
    try {
        read()
    } catch (damage: DamageException) {
        throw BundleException("$path: ${damage.message}", damage)
    } catch (problem: JsonProblem.TooDeep) {
        throw BundleException("$path: ${problem.message}", problem)
    } catch (error: StackOverflowError) {
        throw BundleException("$path: is nested too deeply", error)
    } catch (error: OutOfMemoryError) {
        throw BundleException("$path: does not fit into memory", error)
    } catch (error: IOException) {
        throw BundleException("$path: cannot be read: ${error.message ?: error}", error)
    } catch (error: IllegalArgumentException) {
        throw BundleException("$path: is damaged: ${quote("${error.message}")}", error)
    } catch (error: BufferUnderflowException) {
        throw BundleException("$path: is damaged: 'it ends within a header'", error)
    }

private val SAFE_NAME = Regex("[A-Za-z0-9_.+@ -]+(/[A-Za-z0-9_.+@ -]+)*")
private val DRIVE = Regex("[A-Za-z]:.*", RegexOption.DOT_MATCHES_ALL)

/** DamageException if a file of that name could land outside the target, or is not the same name to all systems. */
fun mustBeSafe(name: String) {
    val reason = whyUnsafe(name) ?: return
    throw DamageException("file name ${quote(name)} $reason")
}

private fun whyUnsafe(name: String): String? =
    when {
        name.isEmpty() || '\u0000' in name -> "is empty or holds a zero byte"
        name.startsWith("/") -> "is absolute"
        DRIVE.matches(name) -> "has a drive letter"
        '\\' in name -> "holds a backslash"
        name.endsWith("/") -> "is a folder; a bundle holds files only"
        name.split("/").any { it in setOf("", ".", "..") } -> "has an empty, . or .. part"
        !SAFE_NAME.matches(name) -> "holds characters other than A-Z a-z 0-9 _ . + @ - and space"
        else -> null
    }

/** DamageException if two names would be one file on a system that ignores case (names are ASCII, see mustBeSafe). */
fun mustDiffer(names: Iterable<String>) {
    val lowered = HashSet<String>()
    for (name in names) {
        if (!lowered.add(name.lowercase())) {
            throw DamageException("holds $name twice (upper and lower case count as equal)")
        }
    }
}
