package pocketgan.measure

/** Major and minor number of a version such as `1.29.0`. */
class Release private constructor(private val major: Int, private val minor: Int) : Comparable<Release> {
    override fun compareTo(other: Release): Int = compareValuesBy(this, other, { it.major }, { it.minor })

    override fun toString() = "$major.$minor"

    companion object {
        private val PATTERN = Regex("([0-9]{1,6})\\.([0-9]{1,6})([^0-9].*)?")

        /** The release that [version] is of; null where it is no version. */
        fun of(version: String): Release? =
            PATTERN.matchEntire(version)?.destructured?.let { (major, minor) -> Release(major.toInt(), minor.toInt()) }
    }
}

/**
 * The runtime of this app is too old for a file.
 *
 * @param runtime its name and version.
 * @param reads what it reads, and [found] what the file is.
 * @param needed the version of the runtime that the bundle names.
 */
fun engineTooOld(runtime: String, reads: String, found: String, needed: String): RefusedException =
    RefusedException("engine too old for the file: $runtime reads $reads, this is $found; it needs an app with $needed")
