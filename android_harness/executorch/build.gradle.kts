// Not run where it was written: see settings.gradle.kts.
plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "org.pocketgan.harness.executorch"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    api(project(":core"))
    implementation(libs.executorch.android)
    runtimeOnly(libs.nativeloader)
    runtimeOnly(libs.fbjni)
    testImplementation(libs.kotlin.test.junit)
    testImplementation(libs.junit)
}
