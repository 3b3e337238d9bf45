// Not run where it was written: see settings.gradle.kts.
// The Android plugin compiles Kotlin itself since 9.0, with the newest Kotlin plugin that is on this class path.
plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.jvm) apply false
    alias(libs.plugins.kotlin.serialization) apply false
}
