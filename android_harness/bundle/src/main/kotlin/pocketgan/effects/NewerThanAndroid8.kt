package pocketgan.effects

/** Calls what minSdk lacks, behind a look at `Build.VERSION.SDK_INT`; animal-sniffer lets it pass. */
@Retention(AnnotationRetention.BINARY)
@Target(AnnotationTarget.FUNCTION)
internal annotation class NewerThanAndroid8
